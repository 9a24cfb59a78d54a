// Puts the whole link together from what stands behind the # of this page's address. The browser has that alone:
// nothing is sent anywhere, and the page's policy allows no request.
"use strict";
if (/^#account=[A-Za-z0-9_-]{43}&secret=[A-Za-z0-9_-]{22}$/.test(location.hash)) {
  const whole = document.getElementById("whole");
  const link = whole.dataset.link + location.hash;
  document.getElementById("link").textContent = link;
  document.getElementById("open").href = link;
  whole.hidden = false;
  document.getElementById("partly").hidden = true;
  document.getElementById("beginning").hidden = true;
}
