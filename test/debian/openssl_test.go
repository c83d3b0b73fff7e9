package debian_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"strings"
	"testing"
	"time"

	_ "crypto/md5"
	_ "crypto/sha1"
	_ "crypto/sha3"
	_ "crypto/sha512"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// digested is a file of megabytes that host and guest have.
const digested = "usr/lib/aarch64-linux-gnu/libcrypto.so.3"

var digests = map[string]crypto.Hash{
	"md5": crypto.MD5, "sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	"sha512-256": crypto.SHA512_256, "sha3-256": crypto.SHA3_256, "sha3-512": crypto.SHA3_512,
}

// key and iv are those of ciphers, as long as each needs them.
const (
	key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	iv  = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

// A crypt is one cipher: what OpenSSL calls it, bytes of its key, and Go's.
type crypt struct {
	name string
	key  int
	make func(key []byte) (cipher.Block, error)
	ctr  bool
}

var crypts = []crypt{
	{"aes-128-cbc", 16, aes.NewCipher, false}, {"aes-256-cbc", 32, aes.NewCipher, false},
	{"aes-192-ctr", 24, aes.NewCipher, true}, {"des-ede3-cbc", 24, des.NewTripleDESCipher, false},
}

// run encrypts b, with the padding of PKCS #7 where the mode needs it.
func (c crypt) run(t *testing.T, b []byte) []byte {
	t.Helper()
	block, err := c.make(unhex(t, key)[:c.key])
	if err != nil {
		t.Fatal(err)
	}
	first := unhex(t, iv)[:block.BlockSize()]
	if c.ctr {
		out := make([]byte, len(b))
		cipher.NewCTR(block, first).XORKeyStream(out, b)
		return out
	}
	n := block.BlockSize() - len(b)%block.BlockSize()
	out := append(append([]byte{}, b...), strings.Repeat(string(rune(n)), n)...)
	cipher.NewCBCEncrypter(block, first).CryptBlocks(out, out)
	return out
}

// speeds are what openssl speed runs: it computes without end what the digests verify.
var (
	speeds     = []string{"-evp aes-128-gcm", "-evp sha256", "ecdsap256"}
	soakSpeeds = []string{"-evp aes-256-cbc", "-evp aes-128-ctr", "-evp chacha20-poly1305", "-evp aes-128-ccm", "-evp aes-128-ocb",
		"-evp sha1", "-evp sha512", "-evp sha3-256", "-evp md5", "-evp blake2b512", "-hmac sha256", "-evp camellia-128-cbc", "-evp aria-128-ctr", "-evp sm4-cbc",
		"rsa2048", "dsa2048", "ecdhx25519", "ecdhx448", "ed25519", "ed448", "ffdh2048", "ghash"}
)

func TestOpenSSLAgreesWithGo(t *testing.T) {
	s := setUp(t)
	var script strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&script, format+"\n", args...) }
	say("set -e\nF=/%s; cd /tmp", digested)
	run := speeds
	if kit.Rounds(0, 1) != 0 {
		run = append(run, soakSpeeds...)
	}
	for _, what := range run {
		say("openssl speed -seconds 1 -bytes 1024 %s >speed 2>&1 || { cat speed; exit 1; }", what)
	}
	for name := range digests {
		say("echo == %s; openssl dgst -%s -r $F", name, name)
		say("echo == hmac-%s; openssl dgst -%s -hmac key -r $F", name, name)
	}
	for _, c := range crypts {
		say("echo == %s; openssl enc -%s -K %s -iv %s -in $F | openssl dgst -sha256 -r", c.name, c.name, key[:2*c.key], iv[:2*min(16, blockSize(t, c))])
	}
	for name, how := range map[string]string{
		"rsa": "RSA -pkeyopt rsa_keygen_bits:2048", "ecdsa": "EC -pkeyopt ec_paramgen_curve:P-256", "ed25519": "ED25519",
	} {
		say("openssl genpkey -quiet -algorithm %s -out key; openssl dgst -sha256 -binary $F >sum", how)
		say("openssl pkeyutl -sign -inkey key %s -in sum -out signature", map[string]string{"ed25519": "-rawin", "rsa": "-pkeyopt digest:sha256"}[name])
		say("openssl pkeyutl -verify -inkey key %s -in sum -sigfile signature >verified", map[string]string{"ed25519": "-rawin", "rsa": "-pkeyopt digest:sha256"}[name])
		say("echo == %s; openssl pkey -in key -pubout -outform DER | base64 -w0; echo; base64 -w0 signature; echo", name)
	}
	say("echo == end")
	text := s.run(t, job{script: script.String(), cpus: 2, memory: "512M", limit: 30 * time.Minute})

	file, err := os.ReadFile(s.path(digested))
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range digests {
		same(t, text, name, h.New(), file)
		same(t, text, "hmac-"+name, hmac.New(h.New, []byte("key")), file)
	}
	for _, c := range crypts {
		same(t, text, c.name, sha256.New(), c.run(t, file))
	}
	sum := sha256.Sum256(file)
	for _, name := range []string{"rsa", "ecdsa", "ed25519"} {
		signed(t, name, part(t, text, name), sum[:])
	}
}

// same compares the digest that the guest printed with Go's.
func same(t *testing.T, text, name string, h hash.Hash, b []byte) {
	t.Helper()
	h.Write(b)
	if got, _, _ := strings.Cut(part(t, text, name), " "); got != hex.EncodeToString(h.Sum(nil)) {
		t.Errorf("%s: %s, Go says %x", name, got, h.Sum(nil))
	}
}

// signed verifies a signature of sum that the guest printed after its public key.
func signed(t *testing.T, name, text string, sum []byte) {
	t.Helper()
	words := strings.Fields(text)
	if len(words) != 2 {
		t.Fatalf("%s: %q", name, text)
	}
	der, err := base64.StdEncoding.DecodeString(words[0])
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ok := false
	switch k := public.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum, signature) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, sum, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, sum, signature)
	}
	if !ok {
		t.Errorf("%s: Go does not accept the guest's signature by a %T", name, public)
	}
}

func blockSize(t *testing.T, c crypt) int {
	t.Helper()
	block, err := c.make(unhex(t, key)[:c.key])
	if err != nil {
		t.Fatal(err)
	}
	return block.BlockSize()
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
