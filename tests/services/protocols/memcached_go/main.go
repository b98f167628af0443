// What Go's client makes of a Memcached server: `memcached_go PORT`. Prints as memcached_py.py does.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/bradfitz/gomemcache/memcache"
)

func op(name string) {
	line, _ := json.Marshal(map[string]any{"op": name, "name": name})
	fmt.Println(string(line))
}

func main() {
	client := memcache.New("127.0.0.1:" + os.Args[1])
	client.MaxIdleConns = 1
	if err := client.Ping(); err != nil {
		panic(err)
	}
	client.Set(&memcache.Item{Key: "a", Value: []byte("1")})
	op("set")
	client.Get("a")
	op("gets")
	client.GetMulti([]string{"a", "b", "c"})
	op("gets")
	client.Increment("a", 2)
	op("incr")
	client.Add(&memcache.Item{Key: "a", Value: []byte("1")})
	op("add")
	client.Touch("a", 10)
	op("touch")
	client.Delete("a")
	op("delete")
	client.Delete("a")
	op("delete")
	client.Close()
}
