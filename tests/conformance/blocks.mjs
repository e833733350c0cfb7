// The code blocks of a Markdown page.

const FENCE = /^```(\S*)$/;
const NOTE = /^<!-- (not run: .{10,}|run: \S.*) -->$/;

/** Every block with its language, its line, and what a comment in the line before it says of running it. */
export function blocks(page) {
  const found = [];
  let open = null;
  let before = '';
  page.split('\n').forEach((line, index) => {
    const fence = FENCE.exec(line);
    if (open && line === '```') {
      found.push({ ...open, text: open.lines.join('\n') });
      open = null;
    } else if (open) {
      open.lines.push(line);
    } else if (fence) {
      open = { language: fence[1], line: index + 1, note: NOTE.exec(before)?.[1] ?? null, lines: [] };
    }
    before = line;
  });
  if (open) throw new Error(`the block at line ${open.line} has no end`);
  return found;
}
