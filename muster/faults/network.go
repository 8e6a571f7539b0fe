package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/muster-id/muster/eventstore/backoff"
)

// healBound is how long a proxy may take to let bytes through again.
const healBound = 10 * time.Second

// network has a proxy on each connection from a service to another part. mTLS
// goes through as it is: certificates name services, not addresses.
type network struct {
	server  *toxiproxy.ApiServer
	proxies map[link]*toxiproxy.Proxy
}

// link is a connection of a service to a part.
type link struct{ from, to string }

func newNetwork() *network {
	return &network{
		server:  toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(io.Discard)),
		proxies: map[link]*toxiproxy.Proxy{},
	}
}

// adjust puts proxies into a service's settings.
func (n *network) adjust(service string, settings map[string]string) error {
	for name, value := range settings {
		to := partBehind(strings.TrimPrefix(name, "MUSTER_"+strings.ToUpper(service)+"_"))
		if to == "" || value == "" {
			continue
		}
		address, err := url.Parse(value)
		if err != nil {
			return errors.New(name + " is not a URL")
		}
		if address.Host, err = n.through(link{service, to}, address.Host); err != nil {
			return err
		}
		settings[name] = address.String()
	}
	return nil
}

// partBehind says whose address a setting holds.
func partBehind(setting string) string {
	switch {
	case strings.HasSuffix(setting, "DATABASE_URL"), strings.HasSuffix(setting, "DATABASE_OWNER_URL"):
		return postgres
	case setting == "BROKER_URL":
		return rabbitmq
	case setting == "S3_ENDPOINT":
		return s3
	case setting == "IDENTITY_URL", setting == "CREDENTIALS_URL", setting == "MEDIA_URL":
		return strings.ToLower(strings.TrimSuffix(setting, "_URL"))
	}
	return ""
}

// through gives the address of the proxy of a link.
func (n *network) through(l link, upstream string) (string, error) {
	if proxy := n.proxies[l]; proxy != nil {
		return proxy.Listen, nil
	}
	// One port for the whole run: a proxy that is shut and opened listens there again.
	proxy := toxiproxy.NewProxy(n.server, l.from+"-"+l.to, "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		return "", fmt.Errorf("proxy from %s to %s: %w", l.from, l.to, err)
	}
	n.proxies[l] = proxy
	return proxy.Listen, nil
}

// links are those on which a part is cut off: those to it, and of the gateway,
// which only clients call, those from it.
func (n *network) links(part string) []link {
	all := slices.Collect(maps.Keys(n.proxies))
	all = slices.DeleteFunc(all, func(l link) bool {
		if part == gateway {
			return l.from != gateway
		}
		return l.to != part
	})
	slices.SortFunc(all, func(a, b link) int { return strings.Compare(a.from+" "+a.to, b.from+" "+b.to) })
	return all
}

// close ends all proxies and their connections.
func (n *network) close() {
	for _, proxy := range n.proxies {
		proxy.Stop()
	}
}

// cuts are the ways in which a link can be cut, by name.
var cuts = []string{"refused", "swallowed", "timed out", "reset", "slow", "cut short"}

// cut spoils links in one way and gives what mends them.
func (n *network) cut(links []link, how string) (mend func(context.Context) error, err error) {
	var spoiled []*toxiproxy.Proxy
	mend = func(ctx context.Context) error {
		var errs []error
		for _, proxy := range spoiled {
			errs = append(errs, n.mend(ctx, proxy))
		}
		return errors.Join(errs...)
	}
	for _, l := range links {
		proxy := n.proxies[l]
		spoiled = append(spoiled, proxy)
		if how == "refused" {
			proxy.Stop()
			continue
		}
		for _, direction := range []string{"upstream", "downstream"} {
			if err := spoil(proxy, how, direction); err != nil {
				return mend, fmt.Errorf("cut %s off from %s: %w", l.from, l.to, err)
			}
		}
	}
	return mend, nil
}

func spoil(proxy *toxiproxy.Proxy, how, direction string) error {
	toxic := map[string]any{"stream": direction}
	switch how {
	case "swallowed": // the connection stays, and nothing passes
		toxic["type"], toxic["attributes"] = "timeout", map[string]int{"timeout": 0}
	case "timed out":
		toxic["type"], toxic["attributes"] = "timeout", map[string]int{"timeout": 1000}
	case "reset":
		toxic["type"], toxic["attributes"] = "reset_peer", map[string]int{"timeout": 200}
	case "slow":
		toxic["type"], toxic["attributes"] = "latency", map[string]int{"latency": 400, "jitter": 200}
	case "cut short": // in the middle of what is sent
		toxic["type"], toxic["attributes"] = "limit_data", map[string]int{"bytes": 5000}
	default:
		return fmt.Errorf("%q is no way to cut a link", how)
	}
	text, err := json.Marshal(toxic)
	if err != nil {
		return err
	}
	_, err = proxy.Toxics.AddToxicJson(bytes.NewReader(text))
	return err
}

// mend takes what spoils a proxy away. One that does not let go in time is shut
// and opened, which breaks its connections.
func (n *network) mend(ctx context.Context, proxy *toxiproxy.Proxy) error {
	if !proxy.Enabled {
		return n.open(ctx, proxy)
	}
	done := make(chan struct{})
	go func() { // ends within the bound, or with the connections that it waits for
		defer close(done)
		proxy.Toxics.ResetToxics(ctx)
	}()
	timer := time.NewTimer(healBound)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	proxy.Stop()
	<-done
	return n.open(ctx, proxy)
}

func (n *network) open(ctx context.Context, proxy *toxiproxy.Proxy) error {
	// Whoever dialled meanwhile may have got this very port as its own.
	for range 50 {
		if err := proxy.Start(); err == nil {
			return nil
		} else if _, refused := errors.AsType[*net.OpError](err); !refused {
			return err
		}
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s cannot be had again", proxy.Listen)
}
