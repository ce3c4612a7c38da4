/** Colours of one scheme. Contrast of text to its ground is 4.5:1 or more (WCAG 2.2, 1.4.3). */
interface Colours {
  readonly ground: string;
  readonly panel: string;
  readonly line: string;
  readonly ink: string;
  readonly soft: string;
  readonly smmu: string;
  readonly yes: string;
  readonly yesGround: string;
  readonly no: string;
  readonly noGround: string;
  readonly unknown: string;
  readonly unknownGround: string;
  readonly ready: string;
}

const LIGHT: Colours = {
  ground: '#fff',
  panel: '#f6f8fa',
  line: '#c4ccd4',
  ink: '#1b2229',
  soft: '#55606b',
  smmu: '#0b5cad',
  yes: '#116329',
  yesGround: '#dafbe1',
  no: '#57606a',
  noGround: '#eaeef2',
  unknown: '#7d4e00',
  unknownGround: '#fff3c4',
  ready: '#1a7f37',
};

const DARK: Colours = {
  ground: '#0d1117',
  panel: '#161b22',
  line: '#3d444d',
  ink: '#f0f3f6',
  soft: '#9ea7b3',
  smmu: '#6cb6ff',
  yes: '#7ee2a0',
  yesGround: '#0f2d1a',
  no: '#aab3bd',
  noGround: '#262c34',
  unknown: '#f5cf66',
  unknownGround: '#332701',
  ready: '#3fb950',
};

/**
 * Spelled out for each scheme instead of by CSS variables: what puts the picture into documents (librsvg, Inkscape,
 * office programs) knows none, and paints all black. Yes, no and unknown differ in border style and words too.
 */
function paint(c: Colours): string {
  return `
.vsmmu-map text{fill:${c.ink}}
.vsmmu-map .ground{fill:${c.ground}}
.vsmmu-map .panel{fill:${c.panel};stroke:${c.line}}
.vsmmu-map .root,.vsmmu-map .card{fill:${c.ground};stroke:${c.line}}
.vsmmu-map .group{fill:none;stroke:${c.line}}
.vsmmu-map .smmu{fill:${c.smmu}}
.vsmmu-map .bar{fill:${c.smmu}}
.vsmmu-map .wire{fill:none;stroke:${c.smmu}}
.vsmmu-map .soft{fill:${c.soft}}
.vsmmu-map .note{fill:${c.unknown}}
.vsmmu-map .yes rect{fill:${c.yesGround};stroke:${c.yes}} .vsmmu-map .yes text{fill:${c.yes}}
.vsmmu-map .no rect{fill:${c.noGround};stroke:${c.noGround}} .vsmmu-map .no text{fill:${c.no}}
.vsmmu-map .unknown rect{fill:${c.unknownGround};stroke:${c.unknown}} .vsmmu-map .unknown text{fill:${c.unknown}}
.vsmmu-map .edge-ready{fill:${c.ready}} .vsmmu-map .edge-no{fill:${c.line}}
`.trim();
}

/** Colours and type of the picture. */
export const MAP_STYLE = `
.vsmmu-map{font:13px/1.4 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
.vsmmu-map .group{stroke-dasharray:2 3}
.vsmmu-map .unknown rect{stroke-dasharray:4 3}
.vsmmu-map .wire{stroke-width:2}
.vsmmu-map .title{font-size:20px;font-weight:650}
.vsmmu-map .smmu{font-size:15px;font-weight:650}
.vsmmu-map .label{font-size:12px;font-weight:600}
.vsmmu-map .soft,.vsmmu-map .note{font-size:12px}
.vsmmu-map .mono{font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace;font-weight:600}
.vsmmu-map .chip{font-size:11.5px;font-weight:600}
${paint(LIGHT)}
@media (prefers-color-scheme:dark){
${paint(DARK)}
}
`.trim();
