// Updates relative times once a minute: <time data-age> shows how long ago, <time data-left> how long until.
// The texts are those of web/ui/time_format.py.
(() => {
  const MINUTE = 60, HOUR = 3600, DAY = 86400, WEEK = 604800;
  const formatAge = (seconds, ago) => {
    if (seconds < MINUTE) return ago ? "just now" : "now";
    const words = seconds < HOUR ? `${Math.floor(seconds / MINUTE)} min` : seconds < DAY ? `${Math.floor(seconds / HOUR)} h` : `${Math.floor(seconds / DAY)} d`;
    return ago ? `${words} ago` : words;
  };
  const formatTimeLeft = (seconds) => seconds < MINUTE ? "any moment" : `in ${seconds < HOUR ? `${Math.floor(seconds / MINUTE)} min` : `${Math.floor(seconds / HOUR)} h`}`;
  const update = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (seconds >= WEEK) continue;
      const words = formatAge(seconds, time.dataset.age === "ago");
      if (time.textContent !== words) time.textContent = words;
    }
    for (const time of document.querySelectorAll("time[data-left]")) time.textContent = formatTimeLeft(Math.floor((Date.parse(time.dateTime) - Date.now()) / 1000));
  };
  setInterval(update, MINUTE * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
})();
