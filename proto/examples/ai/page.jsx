import { createRoot } from 'react-dom/client';
import { useState } from 'react';
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';

// `resume`: where the newest answer goes on. While it is being written that is its beginning; once the messages have all of it, the gateway says 204 and useChat knows that there is none.
function Chat({ id, messages: initial, resume }) {
    const transport = new DefaultChatTransport({ api: `/api/chat/${id}`, prepareReconnectToStreamRequest: () => ({ api: resume }) });
    const { messages, sendMessage, status, error } = useChat({ id, messages: initial, resume: resume !== null, transport });
    const [text, setText] = useState('');
    const send = event => (event.preventDefault(), sendMessage({ text }), setText(''));
    return (
        <main>
            <ol>{messages.map(message => <li key={message.id} className={message.role}>{message.parts.filter(({ type }) => type === 'text').map(part => part.text).join('')}</li>)}</ol>
            <form onSubmit={send}>
                <input value={text} onChange={event => setText(event.target.value)} aria-label="question" /> <button disabled={status !== 'ready'}>Ask</button>
            </form>
            <output>{error ? error.message : status}</output>
        </main>
    );
}

const id = new URLSearchParams(location.search).get('chat') ?? '1';
const state = await (await fetch(`/api/chat/${id}`)).json();
createRoot(document.getElementById('root')).render(<Chat id={id} {...state} />);
