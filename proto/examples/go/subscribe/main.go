// Reads a channel and after every break goes on where it was: go run main.go events.go [URL]. No library.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	url := append(os.Args, "http://localhost:4043/channels/news")[1]
	events := Events{Retry: 3 * time.Second, On: func(kind, data string) { fmt.Printf("%s: %s\n", kind, data) }}
	for ; ; time.Sleep(events.Retry) {
		ctx, cancel := context.WithCancel(context.Background())
		events.Silence = time.AfterFunc(60*time.Second, cancel) // a minute without even a keep-alive: it is dead
		request, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		request.Header.Set("Accept", "text/event-stream")
		query := request.URL.Query()
		query.Set("last_event_id", events.LastID) // a header is not for every text
		request.URL.RawQuery = query.Encode()
		if response, err := http.DefaultClient.Do(request); err == nil {
			switch response.StatusCode {
			case 200:
				events.Read(response.Body)
			case 429, 502, 503, 504: // another try may change these
			default:
				body, _ := io.ReadAll(response.Body)
				log.Fatal(response.Status, " ", string(body))
			}
			response.Body.Close()
		}
		cancel()
	}
}
