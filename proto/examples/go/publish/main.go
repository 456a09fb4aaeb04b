// Publishes a text once, however often it has to ask: go run main.go TEXT [URL]. No library.
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	text, url := os.Args[1], append(os.Args, "http://localhost:4043/channels/news")[2]
	var random [16]byte
	rand.Read(random[:])
	key := fmt.Sprintf("%x", random) // makes all tries one: a second one gets the first one's answer
	client := http.Client{Timeout: 10 * time.Second}
	for attempt := 0; attempt < 10; attempt++ {
		request, _ := http.NewRequest("POST", url, strings.NewReader(text))
		request.Header = http.Header{"Content-Type": {"text/plain"}, "Idempotency-Key": {key}}
		if response, err := client.Do(request); err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			switch response.StatusCode {
			case 200:
				fmt.Println(string(body))
				return
			case 429, 502, 503, 504: // another try may change these
			default:
				log.Fatal(response.Status, " ", string(body))
			}
		}
		time.Sleep(time.Second)
	}
	log.Fatal("not published")
}
