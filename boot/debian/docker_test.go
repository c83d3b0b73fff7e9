package debian

import (
	"encoding/json"
	"strings"
	"testing"
)

// dockerFixture are packages in which each program is a script, so that it needs no libraries.
func dockerFixture() tree {
	t := tree{
		certificateDir + "a.crt": {mode: 0o644, data: []byte("A\n")}, certificateDir + "b.crt": {mode: 0o644, data: []byte("B\n")},
		libDir + "/xtables/libxt_nat.so": {mode: 0o644, data: []byte("x")}, "usr/bin/docker": {mode: 0o755, data: []byte("not wanted")},
	}
	for _, program := range dockerPrograms {
		t[program] = node{mode: 0o755, data: []byte("#!/bin/sh\n")}
	}
	return t
}

func TestDockerTree(t *testing.T) {
	got, err := dockerTree(dockerFixture())
	if err != nil {
		t.Fatal(err)
	}
	if string(got[certificates].data) != "A\nB\n" {
		t.Errorf("the authorities are %q", got[certificates].data)
	}
	if got["usr/sbin/iptables"].link != "xtables-nft-multi" || got[libDir+"/xtables/libxt_nat.so"].data == nil {
		t.Error("iptables or what it opens is missing")
	}
	if _, ok := got["usr/bin/docker"]; ok {
		t.Error("there is more than what runs containers")
	}
	for name := range got {
		if !strings.HasPrefix(name+"/", "usr/") {
			t.Errorf("%s is outside of /usr, which is all that the guest lays over its own", name)
		}
	}
}

func TestDockerTreeWantsWholePackages(t *testing.T) {
	for _, missing := range append(dockerPrograms, certificateDir) {
		packages := dockerFixture()
		for name := range packages {
			if strings.HasPrefix(name, missing) {
				delete(packages, name)
			}
		}
		if _, err := dockerTree(packages); err == nil {
			t.Errorf("a tree without %s is made", missing)
		}
	}
}

// A service that names another, or a program that is not there, would fail in the guest only.
func TestDockersServicesFitTogether(t *testing.T) {
	all, err := dockerTree(dockerFixture())
	if err != nil {
		t.Fatal(err)
	}
	all["usr/sbin/arcbox-guest"] = node{} // of the root
	for name, text := range dockerFiles {
		if !strings.HasPrefix(name, serviceDir) {
			continue
		}
		var s struct {
			Argv  []string
			Env   map[string]string
			Needs []string
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := all[strings.TrimPrefix(s.Argv[0], "/")]; !ok {
			t.Errorf("%s runs %s, which is not there", name, s.Argv[0])
		}
		for _, need := range s.Needs {
			if dockerFiles[serviceDir+need+".json"] == "" {
				t.Errorf("%s needs %s, which is not there", name, need)
			}
		}
		if file := s.Env["SSL_CERT_FILE"]; file != "" && all[strings.TrimPrefix(file, "/")].data == nil {
			t.Errorf("%s trusts %s, which is not there", name, file)
		}
	}
}
