// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	seed  = flag.Int64("seed", 0, "of every random choice; 0 takes the clock's")
	kills = flag.Int("kills", 20, "how often TestKill kills")
)

// Where TestMain built the commands.
var docketBin, gatewayBin string

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "docket-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	fmt.Printf("seed %d (-seed)\n", *seed)
	docketBin, gatewayBin = filepath.Join(dir, "docket"), filepath.Join(dir, "docket-gateway")
	for bin, pkg := range map[string]string{docketBin: "docket", gatewayBin: "docket-gateway"} {
		cmd := exec.Command("go", "build", "-o", bin, "github.com/docket-audit/docket/cmd/"+pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n", pkg, err)
			return 1
		}
	}
	return m.Run()
}
