// What one browser remembers: small JSON values by name; a browser that forbids it forgets.

export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    return; // storage is full or switched off: it holds until the page is left
  }
}
