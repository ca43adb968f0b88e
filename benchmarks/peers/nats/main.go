// Runs the NATS server with JetStream as a peer: one server, file storage, no sync before an answer.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	data := flag.String("data", "", "folder to keep the streams in")
	flag.Parse()
	nats, err := server.NewServer(&server.Options{
		ServerName: "peer",
		Host:       "127.0.0.1",
		Port:       *port,
		JetStream:  true,
		StoreDir:   *data,
		NoSigs:     true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go nats.Start()
	if !nats.ReadyForConnections(20 * time.Second) {
		fmt.Fprintln(os.Stderr, "the server is not ready after 20 s")
		os.Exit(1)
	}
	fmt.Println("ready", nats.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	nats.Shutdown()
	nats.WaitForShutdown()
}
