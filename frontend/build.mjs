// Builds static/dist: one bundle per page, one style sheet, the icons and the font. The output is committed, so
// that a machine without Node runs the portal; `make check` rebuilds it where Node is present and compares.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../static/dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

await build({
  entryPoints: ["src/app.ts", "src/overview.ts", "src/vehicle.ts", "src/commands.ts", "src/alerts.ts", "src/rule.ts", "src/sw.ts"],
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
});
execFileSync("npx", ["@tailwindcss/cli", "-i", "src/app.css", "-o", `${out}/app.css`, "--minify"], {
  stdio: ["ignore", "ignore", "inherit"],
});

const icons = [
  "gauge", "car", "plug", "cpu", "key-round", "building-2", "log-out", "sun-moon", "users", "settings", "activity", "book-open", "arrow-up", "pause", "square",
  "zap", "circle", "clock", "copy", "plus", "search", "shield", "circle-dashed", "radio", "user", "bell", "octagon-alert", "triangle-alert", "info",
];
const symbols = icons.map((name) => {
  const svg = readFileSync(`node_modules/lucide-static/icons/${name}.svg`, "utf8");
  const inner = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
  return `<symbol id="${name}" viewBox="0 0 24 24">${inner.replace(/\s*\n\s*/g, "")}</symbol>`;
});
writeFileSync(`${out}/icons.svg`, `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`);
copyFileSync("node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2", `${out}/inter.woff2`);
