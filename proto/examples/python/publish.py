"""Publishes a text once, however often it has to ask: python3 publish.py TEXT [URL]. No library."""
import http.client, sys, time, urllib.error, urllib.request, uuid

text, url = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else 'http://localhost:4043/channels/news'
key = str(uuid.uuid4())  # makes all tries one: a second one gets the first one's answer, and nothing is sent again
for attempt in range(10):
    request = urllib.request.Request(url, text.encode(), {'Content-Type': 'text/plain', 'Idempotency-Key': key})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            print(answer.read().decode())
            break
    except urllib.error.HTTPError as error:
        if error.code not in (429, 502, 503, 504):
            sys.exit(f'{error.code} {error.read().decode()}')
        time.sleep(float(error.headers.get('Retry-After', 1)))
    except (OSError, http.client.HTTPException):
        time.sleep(1)
else:
    sys.exit('not published')
