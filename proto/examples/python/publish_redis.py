"""Publishes a text through Redis: REDIS_URL=redis://… python3 publish_redis.py TEXT [CHANNEL]. With redis-py."""
import os, sys
import redis

text, channel = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else 'news'
db = redis.Redis.from_url(os.environ.get('REDIS_URL', 'redis://localhost:6379'), decode_responses=True)
id, position, outcome = db.fcall('sse_publish', 1, f'sse:{channel}', text, 'event', 'greeting')
print(id, outcome)
