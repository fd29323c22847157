// Before anything is painted, so that a page does not flash in the other theme.
(() => {
	const chosen = localStorage.getItem("tidegate-theme");
	const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
	document.documentElement.dataset.theme =
		chosen === "light" || chosen === "dark" ? chosen : dark ? "dark" : "light";
})();
