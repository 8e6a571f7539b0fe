package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/devstack"
)

// Two hundred people set an avatar of twelve megapixels at once, through the
// gateway, each service a process of its own. Who is told to come back does. It
// reports uploads a second, their p50 and p99 in milliseconds, how many tries
// were sent away, and the most memory that gateway and media ever held. Run it
// with -benchtime 1x.
func BenchmarkAvatarsAtOnce(b *testing.B) {
	const people = 200
	b.Setenv(mainEnv, "1") // for the services' processes
	dir := b.TempDir()
	running, err := system.Start(context.Background(), system.Options{Dir: dir, Broker: true, Separate: true, Environ: serverPrograms(os.Environ()), Throwaway: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(running.Stop(), devstack.Remove(dir)); err != nil {
			b.Error(err)
		}
	}()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: people}}
	defer client.CloseIdleConnections()
	call := benchmarkCall(b, client, running.URL)
	tokens := make([]string, people)
	for i := range tokens {
		p := somebody(fmt.Sprintf("bench-%s", uuid.NewString()[:18]))
		call("AuthService/Register", p)
		tokens[i], _ = call("AuthService/Login", p.login())["accessToken"].(string)
	}
	picture := cameraPicture(b, 4000, 3000)
	var (
		mutex    sync.Mutex
		took     []time.Duration
		sentAway int
		elapsed  time.Duration
	)
	for b.Loop() {
		began := time.Now()
		var all sync.WaitGroup
		for _, token := range tokens {
			all.Go(func() {
				begun := time.Now()
				away, err := putUntilTaken(client, running.URL, token, picture)
				mutex.Lock()
				defer mutex.Unlock()
				if err != nil {
					b.Error(err)
				}
				took, sentAway = append(took, time.Since(begun)), sentAway+away
			})
		}
		all.Wait()
		elapsed += time.Since(began)
	}
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/elapsed.Seconds(), "uploads/s")
	b.ReportMetric(float64(len(picture))/(1<<20), "picture-MiB")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[(len(took)-1)*99/100].Milliseconds()), "p99-ms")
	b.ReportMetric(float64(sentAway), "sent-away")
	for _, service := range []string{"gateway", "media"} {
		b.ReportMetric(peakMiB(b, running.PIDs[service]), service+"-peak-MiB")
	}
}

// putUntilTaken tells how often it was sent away before the picture was taken.
func putUntilTaken(client *http.Client, url, token string, picture []byte) (away int, err error) {
	for {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, url+"/me/avatar", bytes.NewReader(picture))
		if err != nil {
			return away, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			return away, err
		}
		said, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil:
			return away, err
		case response.StatusCode == http.StatusOK:
			return away, nil
		case response.StatusCode != http.StatusTooManyRequests:
			return away, fmt.Errorf("%s: %s", response.Status, said)
		}
		away++
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		<-time.After(time.Duration(max(1, seconds))*time.Second + rand.N(time.Second))
	}
}

// cameraPicture is a picture that packs about as well as one of a camera.
func cameraPicture(b *testing.B, width, height int) []byte {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			noise := random.IntN(24)
			picture.SetRGBA(x, y, color.RGBA{R: uint8(x*200/width + noise), G: uint8(y*200/height + noise), B: uint8((x+y)%200 + noise), A: 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: 80}); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

// peakMiB is the most memory that a process has held, as Linux tells it.
func peakMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib) / 1024
		}
	}
	b.Fatal("the system does not tell a process's memory")
	return 0
}
