package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/devstack"
)

// Register to Login through the gateway, one person after the other, hashes
// included. Run it with -benchtime 200x: it reports both calls' and their sum's
// p50 and p99 in milliseconds, and the share of answers that were ready.
func BenchmarkRegisterThenLogin(b *testing.B) {
	dir := b.TempDir()
	running, err := system.Start(context.Background(), system.Options{Dir: dir, Broker: true, Environ: serverPrograms(os.Environ()), Throwaway: os.Getenv("MUSTER_BENCH_DURABLE") == ""})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(running.Stop(), devstack.Remove(dir)); err != nil {
			b.Error(err)
		}
	}()
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	call := benchmarkCall(b, client, running.URL)
	var registers, logins, sums []time.Duration
	ready := 0
	for b.Loop() {
		p := somebody(fmt.Sprintf("bench-%s", uuid.NewString()[:18]))
		began := time.Now()
		if call("AuthService/Register", p)["signInReady"] == true {
			ready++
		}
		registered := time.Now()
		call("AuthService/Login", p.login())
		registers = append(registers, registered.Sub(began))
		logins = append(logins, time.Since(registered))
		sums = append(sums, time.Since(began))
	}
	for name, took := range map[string][]time.Duration{"register": registers, "login": logins, "both": sums} {
		slices.Sort(took)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", name, p))
		}
	}
	b.ReportMetric(float64(ready)/float64(len(registers)), "ready-share")
}

// benchmarkCall calls the public API and ends the benchmark when it refuses.
func benchmarkCall(b *testing.B, client *http.Client, url string) func(procedure string, body any) map[string]any {
	return func(procedure string, body any) map[string]any {
		sent, err := json.Marshal(body)
		if err != nil {
			b.Fatal(err)
		}
		response, err := client.Post(url+"/muster.v1."+procedure, "application/json", bytes.NewReader(sent))
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		raw, err := io.ReadAll(response.Body)
		if err != nil {
			b.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s", response.Status, raw)
		}
		var answer map[string]any
		if err := json.Unmarshal(raw, &answer); err != nil {
			b.Fatal(err)
		}
		return answer
	}
}
