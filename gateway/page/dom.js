// Small helpers. Text reaches the document only as text: nothing that comes over a stream can become markup.

export const $ = id => document.getElementById(id);

// element('li', 'some text', child, …); a leading object holds attributes, `on…` ones are listeners.
export function element(name, ...parts) {
    const made = document.createElement(name);
    const attributes = parts[0]?.constructor === Object ? parts.shift() : {};
    for (const [key, value] of Object.entries(attributes))
        if (typeof value === 'function')
            made.addEventListener(key.slice(2), value);
        else
            made.setAttribute(key, value);
    made.append(...parts);
    return made;
}

// Does not touch what is already there, so that nothing is announced or drawn anew.
export function setText(target, text) {
    if (target.textContent !== String(text))
        target.textContent = text;
}

export function setState(target, state, text = state) {
    target.dataset.state = state;
    setText(target, text);
}

export const shortTime = (ms = Date.now()) => new Date(ms).toTimeString().slice(0, 8);

export const shorten = (text, length = 120) => (text.length > length ? `${text.slice(0, length)}…` : text);
