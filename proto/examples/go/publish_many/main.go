// Publishes texts together, all or none: go run main.go URL TEXT... No library. Up to 1,000 go in one request.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	body, answer, random := bytes.Buffer{}, bytes.Buffer{}, make([]byte, 16)
	for lines, i := json.NewEncoder(&body), 2; i < len(os.Args); i++ { // each is a line
		lines.Encode(map[string]string{"data": os.Args[i], "event": "greeting"})
	}
	rand.Read(random)
	key := fmt.Sprintf("%x", random) // makes all tries one: a second one gets the first one's answer
	for attempt := 0; attempt < 10; attempt++ {
		request, _ := http.NewRequest("POST", os.Args[1], bytes.NewReader(body.Bytes()))
		request.Header = http.Header{"Content-Type": {"application/x-ndjson"}, "Idempotency-Key": {key}}
		if response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request); err == nil {
			answer.Reset()
			answer.ReadFrom(response.Body)
			response.Body.Close()
			if response.StatusCode == 200 {
				fmt.Println(answer.String())
				return
			} else if status := response.StatusCode; status != 429 && status != 502 && status != 503 && status != 504 {
				log.Fatal(response.Status, " ", answer.String())
			}
		}
		time.Sleep(time.Second)
	}
	log.Fatal("not published")
}
