// A line of the latest values, drawn as SVG by hand.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 300;
const HEIGHT = 44;

export class Chart {
    #values = [];
    #area = document.createElementNS(SVG, 'path');
    #line = document.createElementNS(SVG, 'path');

    // `zero`: the scale begins at 0, not at the smallest value.
    constructor(svg, { points = 60, zero = false, name = '', format = String } = {}) {
        Object.assign(this, { svg, points, zero, name, format });
        svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
        svg.setAttribute('preserveAspectRatio', 'none');
        svg.setAttribute('role', 'img');
        this.#area.setAttribute('class', 'area');
        svg.replaceChildren(this.#area, this.#line);
        this.#label();
    }

    push(value) {
        this.#values.push(value);
        if (this.#values.length > this.points)
            this.#values.shift();
        this.#draw();
    }

    #draw() {
        const low = this.zero ? 0 : Math.min(...this.#values);
        const range = Math.max(...this.#values) - low;
        const step = WIDTH / (this.points - 1);
        const y = value => (range === 0 ? (this.zero ? HEIGHT - 1 : HEIGHT / 2) : HEIGHT - 1 - (value - low) / range * (HEIGHT - 2));
        const from = WIDTH - (this.#values.length - 1) * step;
        const spots = this.#values.map((value, i) => `${(from + i * step).toFixed(1)} ${y(value).toFixed(1)}`);
        this.#line.setAttribute('d', `M${spots.join('L')}`);
        this.#area.setAttribute('d', `M${from.toFixed(1)} ${HEIGHT}L${spots.join('L')}L${WIDTH} ${HEIGHT}Z`);
        this.#label();
    }

    #label() {
        const newest = this.#values.at(-1);
        const text = newest === undefined ? 'no values yet' :
            `now ${this.format(newest)}, of the last ${this.#values.length} the lowest is ${this.format(Math.min(...this.#values))}, the highest ${this.format(Math.max(...this.#values))}`;
        this.svg.setAttribute('aria-label', `${this.name}: ${text}`);
    }
}
