// Porter runs in a container of the tests: it gives and takes bytes through port 80, and echoes datagrams.
//
//	give N    N random bytes, the same each time, and the end
//	take N    N bytes are taken; the answer is their SHA-256 as a line
//
// `porter digest FILE` prints a file's SHA-256.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "digest" {
		if err := digest(os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	go echo(udp)
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			if err := serve(c); err != nil {
				log.Print(err)
			}
		}()
	}
}

// serve does what one connection asks for.
func serve(c net.Conn) error {
	r := bufio.NewReader(c)
	var verb string
	var n int64
	if _, err := fmt.Fscanf(r, "%s %d\n", &verb, &n); err != nil {
		return err
	}
	switch verb {
	case "give":
		_, err := io.CopyN(c, rand.NewChaCha8([32]byte{1}), n)
		return err
	case "take":
		h := sha256.New()
		if _, err := io.CopyN(h, r, n); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c, "%x\n", h.Sum(nil))
		return err
	}
	return fmt.Errorf("cannot %q: know give and take", verb)
}

// echo sends each datagram back.
func echo(conn net.PacketConn) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := conn.WriteTo(b[:n], from); err != nil {
			log.Print(err)
		}
	}
}

func digest(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	_, err = fmt.Printf("%x\n", h.Sum(nil))
	return err
}
