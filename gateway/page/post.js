// The form that publishes, and what was posted.
import { publish } from './access.js';
import { $, element, setText, shortTime, shorten } from './dom.js';

const POSTS_MAX = 50;
let posts = 0;

// `ms`: when it was published, as far as known.
export function addPost(data, ms, type = 'message') {
    const list = $('posts');
    if (posts++ === 0)
        list.replaceChildren();
    list.prepend(element('li', { class: 'fresh' }, element('time', shortTime(ms)), ...(type === 'message' ? [] : [element('strong', shorten(type, 60))]), data));
    while (list.childElementCount > POSTS_MAX)
        list.lastElementChild.remove();
}

function tell(result, text) {
    $('post-result').dataset.result = result;
    setText($('post-result'), text);
}

async function onSubmit(event) {
    event.preventDefault();
    const form = event.target;
    const { channel, type, data } = Object.fromEntries(new FormData(form));
    tell('under-way', 'Publishing …');
    try {
        const id = await publish(channel.trim(), data, type.trim());
        tell('done', `Published on ${channel.trim()} as ${id}.`);
        form.elements.data.value = '';
    } catch (error) {
        tell('failed', `Not published: ${error.message}.`);
    }
}

export function startPost() {
    $('post-form').addEventListener('submit', onSubmit);
    $('post-form').addEventListener('keydown', event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey))
            event.currentTarget.requestSubmit();
    });
}
