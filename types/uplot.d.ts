/** The script of uPlot leaves a global; its own types tell what that is. */

declare global {
  interface Window {
    uPlot: typeof import("uplot");
  }
}

export {};
