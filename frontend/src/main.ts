// Where the page begins: the language first, so that nothing is said twice.

import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { preferred, speak } from "./i18n/index.svelte";
import { restore } from "./lib/theme.svelte";

// The server has newer pages than this one, and no longer the parts this one would load.
addEventListener("vite:preloadError", () => location.reload());

restore();
await speak(preferred());
const target = document.getElementById("app");
if (target) mount(App, { target });
