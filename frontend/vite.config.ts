import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const DIST = "../crowd/web/dist";
const SMALLEST_WORTH_PACKING = 1024;

/** Packs every built file beside itself: the server hands out what the browser understands. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      const folder = join(import.meta.dirname, DIST, "assets");
      // After a build that failed, too; it is to tell its own error.
      if (!existsSync(folder)) return;
      for (const name of readdirSync(folder)) {
        const bytes = readFileSync(join(folder, name));
        if (!/\.(js|css|svg)$/.test(name) || bytes.length < SMALLEST_WORTH_PACKING) continue;
        writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
        writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes, { params }));
      }
    },
  };
}

export default defineConfig({
  plugins: [svelte(), packed()],
  json: { namedExports: false },
  build: {
    outDir: DIST,
    emptyOutDir: true,
    target: "es2023",
    // Everything has an address of its own: the content policy allows no data in styles or scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": process.env.CROWD_URL ?? "http://127.0.0.1:8000" } },
  test: { include: ["src/**/*.test.ts"] },
});
