// The form that publishes and ends channels, and what was posted.
import { PAGE_CHANNELS, publish } from './access.js';
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
    const { channel: typed, type, data } = Object.fromEntries(new FormData(form));
    const channel = typed.trim(), end = event.submitter?.name === 'end';
    if (end && PAGE_CHANNELS.includes(channel))
        return tell('failed', `Not ended: every copy of this page reads ${channel}. Name another channel.`);
    tell('under-way', end ? 'Ending …' : 'Publishing …');
    try {
        const id = await publish(channel, data, { type: type.trim(), end });
        tell('done', end ? `Ended ${channel} with ${id}: its streams are told and close.` : `Published on ${channel} as ${id}.`);
        form.elements.data.value = '';
    } catch (error) {
        tell('failed', `Not ${end ? 'ended' : 'published'}: ${error.message}.`);
    }
}

export function startPost() {
    $('post-form').addEventListener('submit', onSubmit);
    $('post-form').addEventListener('keydown', event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey))
            event.currentTarget.requestSubmit();
    });
}
