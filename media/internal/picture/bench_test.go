package picture

import (
	"image"
	"image/color"
	"math/rand/v2"
	"testing"
)

// photo is something like one: soft colours and some noise.
func photo(width, height int) *image.RGBA {
	noise := rand.New(rand.NewPCG(1, 2))
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			grain := uint8(noise.UintN(12))
			m.SetRGBA(x, y, color.RGBA{uint8(x*200/width) + grain, uint8(y*200/height) + grain, uint8((x+y)%200) + grain, 255})
		}
	}
	return m
}

func BenchmarkAvatar(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"JPEG of 12 megapixels", asJPEG(b, photo(4000, 3000))},
		{"small PNG", asPNG(b, photo(320, 240))},
		{"small WebP", stored(b, "lossy.webp")},
	} {
		pool := New(Config{})
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.raw)))
			for b.Loop() {
				if _, err := pool.Avatar(b.Context(), c.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
