// Keeps an open page up to date: the daemon says that something changed, and the page asks for itself again.
// Without this script every page works, and is as of when it was loaded.
"use strict";
(() => {
  const LATER_MS = 3000;
  const PAUSE_MS = 500;
  const MOST_PUT_OFF = 20;
  const note = document.getElementById("stale");
  let source = null;
  let lost = false;

  // What the owner opened stays open when the page is loaded anew.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node.nodeName === "DETAILS");

  const page = () => document.getElementById("page");
  const say = (text) => {
    note.textContent = text;
    note.hidden = !text;
  };

  // A form that somebody has begun to fill in is not taken away.
  let begun = false;
  document.addEventListener("input", (event) => {
    if (event.target.closest("#page form")) begun = true;
  });
  document.addEventListener("submit", (event) => {
    begun = false;
    if (event.defaultPrevented) return;
    // The answer leads to another page; one that is a download does not, and this one goes on.
    close();
    lost = true;
    setTimeout(open, LATER_MS);
  });

  const keepTyped = () =>
    say("Something changed meanwhile. What you have typed is kept; load the page again to see it.");
  // Nothing moves under a pointer that is about to press: what comes just then would be pressed instead.
  // A finger leaves its pointer where it last touched, so that is waited for only so long.
  let later = 0;
  let putOff = 0;
  const refresh = () => {
    if (begun) {
      keepTyped();
      return;
    }
    clearTimeout(later);
    if (document.querySelector("#page form:hover, #page summary:hover") && putOff < MOST_PUT_OFF) {
      putOff += 1;
      later = setTimeout(refresh, PAUSE_MS);
      return;
    }
    putOff = 0;
    htmx.trigger(page(), "changed");
  };
  // Whoever begins to type while the page is under way keeps it, too.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!begun) return;
    event.detail.shouldSwap = false;
    keepTyped();
  });

  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401 || event.detail.xhr.status === 404) location.reload();
  });

  const close = () => {
    if (source) source.close();
    source = null;
  };
  const open = () => {
    if (source || document.hidden) return;
    // What changed since this page was made, before it began to follow, is told at once.
    source = new EventSource(`/dashboard/live?as_of=${page().dataset.asOf}`);
    source.addEventListener("open", () => {
      if (lost) refresh();
      lost = false;
      if (!begun) say("");
    });
    source.addEventListener("changed", refresh);
    source.addEventListener("tick", () => { if (!begun) refresh(); });
    source.addEventListener("signed-out", () => location.reload());
    source.addEventListener("error", () => {
      lost = true;
      say("The daemon does not answer. What is shown may be old; trying again.");
      if (source && source.readyState === EventSource.CLOSED) {
        // Refused, not lost: the page itself is told why.
        close();
        htmx.trigger(page(), "changed");
        setTimeout(open, LATER_MS);
      }
    });
  };

  // Browsers keep few connections to one address: a page that nobody sees holds none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      lost = true;
    } else {
      open();
    }
  });
  open();
})();
