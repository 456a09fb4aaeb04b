"""Reads a channel and after every break goes on where it was: python3 subscribe.py [URL]. Python 3.9, no library."""
import http.client, io, sys, time, urllib.error, urllib.parse, urllib.request

URL = sys.argv[1] if len(sys.argv) > 1 else 'http://localhost:4043/channels/news'
last_id, retry = '', 3.0

def events(stream):
    """(type, data) of each event; its id and the retry time are kept for the next connection."""
    global last_id, retry
    type, data, event_id = '', [], last_id
    for line in io.TextIOWrapper(stream, 'utf-8-sig', 'replace', newline=None):  # a line ends with CR, LF or both
        field, _, value = line.rstrip('\n').partition(':')
        value = value.removeprefix(' ')
        if line == '\n':
            last_id = event_id
            if data:
                yield type or 'message', '\n'.join(data)
            type, data = '', []
        elif field == 'event':
            type = value
        elif field == 'data':
            data.append(value)
        elif field == 'id' and '\0' not in value:
            event_id = value
        elif field == 'retry' and value.isdecimal():
            retry = int(value) / 1000

while True:
    place = urllib.parse.urlencode({'last_event_id': last_id})  # a header holds Latin-1 only, an id any text
    request = urllib.request.Request(f'{URL}{"&" if "?" in URL else "?"}{place}', headers={'Accept': 'text/event-stream'})
    try:
        with urllib.request.urlopen(request, timeout=60) as stream:  # a minute without even a keep-alive: it is dead
            for type, data in events(stream):
                print(f'{type}: {data}', flush=True)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code not in (429, 502, 503, 504):
            sys.exit(f'{error.code} {error.read().decode()}')
    time.sleep(retry)
