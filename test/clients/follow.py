"""Follows an event stream with Python's standard library: `follow.py http.client|urllib URL` writes a line of JSON for
each message, [id, text], and ends where the list begins anew."""
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

WITH, URL = sys.argv[1:]


def open_stream(fields):
    if WITH == "urllib":
        return urllib.request.urlopen(urllib.request.Request(URL, headers=fields), timeout=30)
    url = urllib.parse.urlsplit(URL)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request("GET", f"{url.path}?{url.query}", headers=fields)
    response = connection.getresponse()
    assert response.status == 200, response.status
    return response


last, event = None, {}
while True:
    fields = {"Accept": "text/event-stream"}
    if last:
        fields["Last-Event-ID"] = last
    try:
        with open_stream(fields) as stream:
            event = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                event[name] = value
                if name:
                    continue
                if event.get("event") == "at":
                    if json.loads(event["data"]).get("reset"):
                        sys.exit(f"reset: {event}")
                elif "id" in event:
                    last = event["id"]
                    print(json.dumps([int(last), json.loads(event["data"])]), flush=True)
                event = {}
    except (OSError, http.client.HTTPException):
        pass
    time.sleep(0.2)  # as `retry` asks for, in little
