// Stands in for the package `react-style-singleton`: a constructed style sheet where the original adds a
// <style> element, so that the Content-Security-Policy needs no 'unsafe-inline'.
import { useLayoutEffect } from 'react';

/** Makes a component that applies its `styles` (CSS text) as long as it is mounted. */
export function styleSingleton() {
  return function Style({ styles }) {
    useLayoutEffect(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(styles);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      return () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
      };
    }, [styles]);
    return null;
  };
}
