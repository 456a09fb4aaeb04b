// The switch for colours: as the system has them, light, or dark. Kept by the browser where it lets us.

const KEY = 'sse-gateway-theme';

function remembered() {
    try {
        return localStorage.getItem(KEY) ?? '';
    } catch {
        return '';
    }
}

function choose(value) {
    document.documentElement.dataset.theme = value;
    try {
        localStorage.setItem(KEY, value);
    } catch {
        // a browser that keeps nothing: for this visit, then
    }
}

export function startTheme(fieldset) {
    const inputs = [...fieldset.querySelectorAll('input')];
    const input = inputs.find(({ value }) => value === remembered()) ?? inputs[0];
    input.checked = true;
    document.documentElement.dataset.theme = input.value;
    fieldset.addEventListener('change', event => choose(event.target.value));
}
