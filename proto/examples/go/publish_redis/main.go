// Publishes a text through Redis: REDIS_URL=redis://… go run main.go TEXT [CHANNEL]. With redigo.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/gomodule/redigo/redis"
)

func main() {
	text, channel := os.Args[1], append(os.Args, "news")[2]
	db, err := redis.DialURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	answer, err := redis.Strings(db.Do("FCALL", "sse_publish", 1, "sse:"+channel, text, "event", "greeting"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer[0], answer[2]) // id, outcome
}
