/**
 * Colours and type of the picture. Contrast of text to its ground is 4.5:1 or more in both schemes (WCAG 2.2, 1.4.3);
 * yes, no and unknown differ in border style and words too.
 */
export const MAP_STYLE = `
.vsmmu-map{--ground:#fff;--panel:#f6f8fa;--card:#fff;--line:#c4ccd4;--ink:#1b2229;--soft:#55606b;--smmu:#0b5cad;
--yes:#116329;--yes-ground:#dafbe1;--no:#57606a;--no-ground:#eaeef2;--unknown:#7d4e00;--unknown-ground:#fff3c4;--ready:#1a7f37;
font:13px/1.4 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){.vsmmu-map{--ground:#0d1117;--panel:#161b22;--card:#0d1117;--line:#3d444d;--ink:#f0f3f6;
--soft:#9ea7b3;--smmu:#6cb6ff;--yes:#7ee2a0;--yes-ground:#0f2d1a;--no:#aab3bd;--no-ground:#262c34;--unknown:#f5cf66;
--unknown-ground:#332701;--ready:#3fb950}}
.vsmmu-map text{fill:var(--ink)}
.vsmmu-map .ground{fill:var(--ground)}
.vsmmu-map .panel{fill:var(--panel);stroke:var(--line)}
.vsmmu-map .root{fill:var(--ground);stroke:var(--line)}
.vsmmu-map .card{fill:var(--card);stroke:var(--line)}
.vsmmu-map .group{fill:none;stroke:var(--line);stroke-dasharray:2 3}
.vsmmu-map .title{font-size:20px;font-weight:650}
.vsmmu-map .smmu{font-size:15px;font-weight:650;fill:var(--smmu)}
.vsmmu-map .bar{fill:var(--smmu)}
.vsmmu-map .wire{stroke:var(--smmu);stroke-width:2;fill:none}
.vsmmu-map .label{font-size:12px;font-weight:600}
.vsmmu-map .soft{fill:var(--soft);font-size:12px}
.vsmmu-map .mono{font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace;font-weight:600}
.vsmmu-map .note{fill:var(--unknown);font-size:12px}
.vsmmu-map .chip{font-size:11.5px;font-weight:600}
.vsmmu-map .yes rect{fill:var(--yes-ground);stroke:var(--yes)} .vsmmu-map .yes text{fill:var(--yes)}
.vsmmu-map .no rect{fill:var(--no-ground);stroke:var(--no-ground)} .vsmmu-map .no text{fill:var(--no)}
.vsmmu-map .unknown rect{fill:var(--unknown-ground);stroke:var(--unknown);stroke-dasharray:4 3}
.vsmmu-map .unknown text{fill:var(--unknown)}
.vsmmu-map .edge-ready{fill:var(--ready)} .vsmmu-map .edge-no{fill:var(--line)}
`.trim();
