import { createTheme, Tooltip, Modal, Select, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

// The whole design is decided here and in tokens.css: one accent (petrol), a neutral scale with a touch of green, five text sizes, a
// spacing scale of 4 px. Pages use the tokens and never a colour or a size of their own.

const petrol: MantineColorsTuple = [
  "#e8f6f4",
  "#d3e9e6",
  "#a6d3cd",
  "#77bcb4",
  "#4fa89f",
  "#2f978e",
  "#0f7a72",
  "#0b6660",
  "#07554f",
  "#03433e",
];

const slate: MantineColorsTuple = [
  "#f7f8f8",
  "#eef0f0",
  "#e1e4e4",
  "#c9cece",
  "#a9b0b0",
  "#828a8b",
  "#5c6566",
  "#434a4c",
  "#2b3133",
  "#191d1f",
];

const night: MantineColorsTuple = [
  "#dfe4e4",
  "#b9c1c2",
  "#8f9899",
  "#6b7576",
  "#434c4e",
  "#333b3d",
  "#252c2e",
  "#1a2022",
  "#13181a",
  "#0e1214",
];

export const theme = createTheme({
  primaryColor: "petrol",
  primaryShade: { light: 6, dark: 5 },
  colors: { petrol, gray: slate, dark: night },
  autoContrast: true,
  luminanceThreshold: 0.35,
  fontFamily: 'Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Code", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  fontSizes: { xs: "11.5px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  lineHeights: { xs: "1.4", sm: "1.45", md: "1.5", lg: "1.4", xl: "1.25" },
  headings: {
    fontWeight: "620",
    sizes: {
      h1: { fontSize: "22px", lineHeight: "1.25" },
      h2: { fontSize: "16px", lineHeight: "1.35" },
      h3: { fontSize: "14px", lineHeight: "1.4" },
    },
  },
  spacing: { xs: "4px", sm: "8px", md: "12px", lg: "16px", xl: "24px" },
  radius: { xs: "3px", sm: "5px", md: "7px", lg: "10px", xl: "14px" },
  defaultRadius: "sm",
  cursorType: "pointer",
  respectReducedMotion: true,
  focusRing: "auto",
  components: {
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 250, fz: "xs", events: { hover: true, focus: true, touch: true } } }),
    Modal: Modal.extend({ defaultProps: { radius: "lg", centered: true, overlayProps: { backgroundOpacity: 0.35 } } }),
    Select: Select.extend({ defaultProps: { checkIconPosition: "right" } }),
  },
});

/** The tokens of tokens.css that Mantine's own components use too. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#fbfcfc",
    "--mantine-color-dimmed": "#5c6566",
    "--mantine-color-default-border": "#dfe3e3",
    "--mantine-color-placeholder": "#747d7e",
    "--mantine-color-error": "#b3261e",
  },
  dark: {
    "--mantine-color-body": "#0e1214",
    "--mantine-color-text": "#dfe4e4",
    "--mantine-color-dimmed": "#98a2a3",
    "--mantine-color-default": "#161b1d",
    "--mantine-color-default-hover": "#1d2426",
    "--mantine-color-default-border": "#2a3234",
    "--mantine-color-placeholder": "#859091",
    "--mantine-color-error": "#ff8a80",
    "--mantine-color-anchor": "#5cc4ba",
  },
});
