// Sets the remembered theme before anything is painted; loaded blocking from the head, so kept tiny.
(() => {
  const root = document.documentElement;
  root.dataset.js = "";
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch (error) {
    console.info("the theme is not remembered: storage is closed to this page", error);
  }
})();
