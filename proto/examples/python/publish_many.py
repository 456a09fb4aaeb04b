"""Publishes texts together, all or none: python3 publish_many.py URL TEXT... No library. Up to 1,000 go in one request."""
import http.client, json, sys, time, urllib.error, urllib.request, uuid

url, texts = sys.argv[1], sys.argv[2:]
body = ''.join(json.dumps({'data': text, 'event': 'greeting'}) + '\n' for text in texts).encode()
key = str(uuid.uuid4())  # makes all tries one: a second one gets the first one's answer, and nothing is sent again
for attempt in range(10):
    request = urllib.request.Request(url, body, {'Content-Type': 'application/x-ndjson', 'Idempotency-Key': key})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            print('\n'.join(json.load(answer)['ids']))
            break
    except urllib.error.HTTPError as error:
        if error.code not in (429, 502, 503, 504):
            sys.exit(f'{error.code} {error.read().decode()}')
        time.sleep(float(error.headers.get('Retry-After', 1)))
    except (OSError, http.client.HTTPException):
        time.sleep(1)
else:
    sys.exit('not published')
