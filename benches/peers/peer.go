// The function on Go's net/http, silent.
package main

import (
	"encoding/json"
	"log"
	"math/rand"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/api/RandomNumber", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]int{"value": 1 + rand.Intn(999)})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), nil))
}
