// The documentation page without this is whole: what is made here are
// conveniences, so the buttons for them are made here too.
"use strict";

// Examples call the gateway that this page came from.
for (const span of document.querySelectorAll(".origin")) span.textContent = location.origin;
for (const span of document.querySelectorAll(".host")) span.textContent = location.host;

// Copy a command. The clipboard exists on https and on localhost only; without
// it the command is selected, so that a key copies it.
for (const pre of document.querySelectorAll("[data-copy]")) {
	const holder = document.createElement("div");
	const button = document.createElement("button");
	holder.className = "holder";
	button.className = "copy";
	button.type = "button";
	button.textContent = "Copy";
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(pre.textContent);
			button.textContent = "Copied";
		} catch {
			getSelection().selectAllChildren(pre);
			button.textContent = "Selected";
		}
		setTimeout(() => (button.textContent = "Copy"), 1500);
	});
	pre.replaceWith(holder);
	holder.append(pre, button);
}

// Search: what has all the words stays, and so do the sections around it.
const search = document.querySelector("#search");
const entries = [...document.querySelectorAll("main article, main tbody tr, .intro")];
const texts = new Map(entries.map((entry) => [entry, (entry.id + " " + entry.textContent).toLowerCase()]));
const links = [...document.querySelectorAll("nav a[href^='#']")];
search.form.hidden = false;
search.form.addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("input", () => {
	const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
	let found = 0;
	for (const entry of entries) {
		entry.hidden = !words.every((word) => texts.get(entry).includes(word));
		found += entry.hidden ? 0 : 1;
	}
	for (const section of document.querySelectorAll(".service, .scroll")) {
		section.hidden = !section.querySelector("article:not([hidden]), tbody tr:not([hidden])");
	}
	for (const link of links) {
		const target = document.getElementById(link.hash.slice(1));
		link.parentElement.hidden = words.length > 0 && (!target || target.closest("[hidden]") !== null);
	}
	document.querySelector("#nothing").hidden = found > 0;
	document.querySelector("#found").textContent = words.length ? `${found} found` : "";
});
document.addEventListener("keydown", (event) => {
	if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && document.activeElement !== search) {
		event.preventDefault();
		search.focus();
	}
	if (event.key === "Escape" && document.activeElement === search && search.value) {
		search.value = "";
		search.dispatchEvent(new Event("input"));
	}
});

// On a phone the contents open and shut.
const menu = document.querySelector(".menu");
const contents = document.querySelector("#contents");
const shut = (yes) => {
	contents.classList.toggle("shut", yes);
	menu.setAttribute("aria-expanded", String(!yes));
};
menu.hidden = false;
shut(true);
menu.addEventListener("click", () => shut(!contents.classList.contains("shut")));
contents.addEventListener("click", (event) => event.target.closest("a") && shut(true));

// The contents show where the reader is.
const seen = new IntersectionObserver(
	(changes) => {
		for (const { target, isIntersecting } of changes) {
			if (!isIntersecting) continue;
			for (const link of links) {
				if (link.hash === "#" + target.id) link.setAttribute("aria-current", "true");
				else link.removeAttribute("aria-current");
			}
		}
	},
	{ rootMargin: "-15% 0px -75% 0px" },
);
for (const entry of document.querySelectorAll(".intro, .method")) seen.observe(entry);
