// Ages say how long ago, and go on saying it: every <time data-age> once a minute, in one pass; <time data-left>
// says how long until then.
// The words are those of web/ages.py.
(() => {
  const MINUTE = 60, HOUR = 3600, DAY = 86400, WEEK = 604800;
  const age = (seconds, ago) => {
    if (seconds < MINUTE) return ago ? "just now" : "now";
    const words = seconds < HOUR ? `${Math.floor(seconds / MINUTE)} min` : seconds < DAY ? `${Math.floor(seconds / HOUR)} h` : `${Math.floor(seconds / DAY)} d`;
    return ago ? `${words} ago` : words;
  };
  const left = (seconds) => seconds < MINUTE ? "any moment" : `in ${seconds < HOUR ? `${Math.floor(seconds / MINUTE)} min` : `${Math.floor(seconds / HOUR)} h`}`;
  const update = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (seconds >= WEEK) continue;
      const words = age(seconds, time.dataset.age === "ago");
      if (time.textContent !== words) time.textContent = words;
    }
    for (const time of document.querySelectorAll("time[data-left]")) time.textContent = left(Math.floor((Date.parse(time.dateTime) - Date.now()) / 1000));
  };
  setInterval(update, MINUTE * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
})();
