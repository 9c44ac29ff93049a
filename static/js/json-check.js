// Reads JSON (RFC 8259) and says where and why it is wrong; browsers' own messages differ and some
// give no place. check(text) -> null, or {offset, message}.

class Wrong extends Error {
  constructor(offset, message) {
    super(message);
    this.offset = offset;
  }
}

export function check(text) {
  try {
    const end = value(text, space(text, 0), 1);
    if (end < text.length) throw new Wrong(end, `${show(text, end)} after the end of the object`);
    return null;
  } catch (error) {
    if (error instanceof Wrong) return { offset: error.offset, message: error.message };
    throw error;
  }
}

export function place(text, offset) {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: before.at(-1).length + 1 };
}

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /[A-Za-z_][\w-]*/y;
const SPACE = /[ \t\n\r]*/y;

function at(pattern, text, offset) {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0] ?? "";
}

function space(text, offset) {
  return offset + at(SPACE, text, offset).length;
}

function show(text, offset) {
  return offset < text.length
    ? `unexpected ${JSON.stringify(text[offset])}`
    : "the text ends too early";
}

// Each reader returns the offset behind what it read and the spaces after it.
function value(text, offset, depth) {
  if (depth > MAX_DEPTH) throw new Wrong(offset, `nested deeper than ${MAX_DEPTH} levels`);
  const first = text[offset];
  if (first === "{") return members(text, offset, depth, "}", property);
  if (first === "[") return members(text, offset, depth, "]", value);
  if (first === '"') return space(text, string(text, offset));
  if (first === "'") throw new Wrong(offset, "strings are written in double quotes");
  const word = at(WORD, text, offset);
  if (["true", "false", "null"].includes(word)) return space(text, offset + word.length);
  if (word) throw new Wrong(offset, `${word} is no JSON value; text needs double quotes`);
  const number = at(NUMBER, text, offset);
  if (!number) throw new Wrong(offset, `a value is missing: ${show(text, offset)}`);
  const end = offset + number.length;
  if (/[\w.]/.test(text[end] ?? "")) throw new Wrong(end, `not a JSON number: ${show(text, end)}`);
  return space(text, end);
}

function members(text, start, depth, close, member) {
  let offset = space(text, start + 1);
  if (text[offset] === close) return space(text, offset + 1);
  for (;;) {
    offset = member(text, offset, depth + 1);
    if (text[offset] === close) return space(text, offset + 1);
    if (text[offset] !== ",")
      throw new Wrong(offset, `"," or "${close}" is missing: ${show(text, offset)}`);
    const comma = offset;
    offset = space(text, offset + 1);
    if (text[offset] === close) throw new Wrong(comma, `no comma before "${close}"`);
  }
}

function property(text, offset, depth) {
  if (text[offset] !== '"')
    throw new Wrong(offset, `a name in double quotes is missing: ${show(text, offset)}`);
  const colon = space(text, string(text, offset));
  if (text[colon] !== ":")
    throw new Wrong(colon, `":" is missing after the name: ${show(text, colon)}`);
  return value(text, space(text, colon + 1), depth);
}

function string(text, start) {
  for (let offset = start + 1; ; offset += 1) {
    const char = text[offset];
    if (char === '"') return offset + 1;
    if (char === undefined || char === "\n")
      throw new Wrong(start, "this string has no closing quote");
    if (char < " ") throw new Wrong(offset, "a control character must be escaped");
    if (char !== "\\") continue;
    offset += 1;
    if (text[offset] === "u" && /^[0-9a-fA-F]{4}$/.test(text.slice(offset + 1, offset + 5)))
      offset += 4;
    else if (!'"\\/bfnrt'.includes(text[offset] ?? "x"))
      throw new Wrong(offset - 1, "not an escape of JSON");
  }
}
