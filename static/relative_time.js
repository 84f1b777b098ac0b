// Updates relative times once a minute: <time data-age> shows how long ago, <time data-left> how long until.
// The texts are those of web/ui/time_format.py.
(() => {
  const MINUTE = 60, HOUR = 3600, DAY = 86400, WEEK = 604800;
  const UNITS = { min: MINUTE, h: HOUR, d: DAY };
  const format = (seconds, unit) => getText(unit, { number: Math.floor(seconds / UNITS[unit]) });
  const formatAge = (seconds, ago) => {
    if (seconds < MINUTE) return getText(ago ? "just_now" : "now");
    const age = format(seconds, seconds < HOUR ? "min" : seconds < DAY ? "h" : "d");
    return ago ? getText("ago", { age }) : age;
  };
  const formatTimeLeft = (seconds) => {
    if (seconds < MINUTE) return getText("any_moment");
    return getText("in", { time: seconds < 2 * DAY ? format(seconds, seconds < HOUR ? "min" : "h") : format(seconds + DAY / 2, "d") });
  };
  let day = new Date().toDateString();
  const update = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (seconds >= WEEK) continue;
      const words = formatAge(seconds, time.dataset.age === "ago");
      if (time.textContent !== words) time.textContent = words;
    }
    for (const time of document.querySelectorAll("time[data-left]")) time.textContent = formatTimeLeft(Math.floor((Date.parse(time.dateTime) - Date.now()) / 1000));
  };
  // What is due today, or overdue, is so only on this day: on another one all parts are loaded again.
  const checkDay = () => {
    const today = new Date().toDateString();
    if (document.hidden || today === day) return;
    day = today;
    htmx.trigger(document.body, "reset");
  };
  setInterval(() => { update(); checkDay(); }, MINUTE * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { update(); checkDay(); } });
})();
