// Sets the theme before the first paint, so that a light screen never flashes dark. A file, not inline: the page's policy allows no inline script.
(() => {
  let theme = 'dark';
  try {
    theme = JSON.parse(localStorage.getItem('tidemill.settings') ?? '{}').state?.theme ?? 'dark';
  } catch {
    // A damaged setting falls back to the default theme.
  }
  if (theme === 'system') theme = matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
})();
