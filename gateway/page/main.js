// The page at /: puts the parts together.
import { setToken } from './access.js';
import { startConsole } from './console.js';
import { $, setText } from './dom.js';
import { startLive } from './live.js';
import { startPost } from './post.js';
import { startTheme } from './theme.js';

const PROTOCOLS = { 'http/1.1': 'HTTP/1.1', h2: 'HTTP/2', h3: 'HTTP/3' };
const protocol = performance.getEntriesByType('navigation')[0]?.nextHopProtocol ?? '';
const few = protocol.startsWith('http/1');

setText($('protocol'), PROTOCOLS[protocol] ?? (protocol || 'HTTP'));
setText($('origin'), new URL('.', document.baseURI).href.replace(/\/$/, ''));
if (few) {
    setText($('limit'), 'Over HTTP/1.1 a browser holds at most 6 connections to one address, in all tabs together; each stream of this console takes one. ' +
        'Over TLS the browser speaks HTTP/2, with 100 streams in one connection.');
    $('limit').hidden = false;
}
$('token-form').addEventListener('submit', event => {
    event.preventDefault();
    const { token } = event.target.elements;
    setText($('token-result'), token.value === '' ? 'No token is used.' : 'The token is used from now on, and forgotten with this page.');
    setToken(token.value.trim());
    token.value = '';
});

startTheme($('theme'));
startPost();
startConsole({ streamsMax: few ? 3 : 20 });
startLive();
