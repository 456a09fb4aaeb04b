"""Reads a channel and after every break goes on where it was: python3 subscribe_httpx.py [URL]. With httpx."""
import re, sys, time, httpx

URL = sys.argv[1] if len(sys.argv) > 1 else 'http://localhost:4043/channels/news'
last_id, retry = '', 3.0

def events(response):
    """(type, data) of each event; its id and the retry time are kept for the next connection."""
    global last_id, retry
    rest, type, data, event_id = '', '', [], last_id
    for text in response.iter_text():  # iter_lines() would also split at line separators within data
        *lines, rest = re.split(r'\r\n|\n|\r(?!\Z)', rest + text)
        for line in lines:
            field, value = re.match(r'\ufeff?([^:]*)(?:: ?)?(.*)', line, re.S).groups()
            if line == '':
                last_id = event_id
                if data:
                    yield type or 'message', '\n'.join(data)
                type, data = '', []
            elif field in ('event', 'data'):
                type, data = (value, data) if field == 'event' else (type, data + [value])
            elif field == 'id' and '\0' not in value:
                event_id = value
            elif field == 'retry' and value.isdecimal():
                retry = int(value) / 1000

while True:
    url = httpx.URL(URL).copy_merge_params({'last_event_id': last_id})  # a header holds Latin-1 only, an id any text
    try:
        with httpx.stream('GET', url, headers={'Accept': 'text/event-stream'}, timeout=60) as response:  # a minute without even a keep-alive: dead
            if response.status_code not in (429, 502, 503, 504):
                response.raise_for_status()
                for type, data in events(response):
                    print(f'{type}: {data}', flush=True)
    except httpx.TransportError:
        pass
    time.sleep(retry)
