package picture

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func avatarOf(t testing.TB, raw []byte) Avatar {
	t.Helper()
	avatar, err := New(Config{}).Avatar(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return avatar
}

// shows fails unless the avatar is a JPEG of so many pixels that shows these
// quarters.
func shows(t testing.TB, avatar Avatar, width, height int, quarters ...color.RGBA) {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(avatar.JPEG))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Bounds(); avatar.Width != width || avatar.Height != height || got != image.Rect(0, 0, width, height) {
		t.Fatalf("%d × %d, in the JPEG %v; want %d × %d", avatar.Width, avatar.Height, got, width, height)
	}
	for i, want := range quarters {
		x, y := width/4+i%2*(width/2), height/4+i/2*(height/2)
		got := color.RGBAModel.Convert(m.At(x, y)).(color.RGBA) //nolint:errcheck,forcetypeassert // what the model makes
		if far(got.R, want.R) || far(got.G, want.G) || far(got.B, want.B) {
			t.Errorf("quarter %d is %v, want %v", i, got, want)
		}
	}
}

func far(a, b uint8) bool { return max(a, b)-min(a, b) > 24 }

func refused(t testing.TB, raw []byte, want error) {
	t.Helper()
	avatar, err := New(Config{}).Avatar(t.Context(), raw)
	if !errors.Is(err, want) {
		t.Errorf("got %d bytes, %v; want %v", len(avatar.JPEG), err, want)
	}
}

func TestEveryKindIsTaken(t *testing.T) {
	t.Parallel()
	for name, raw := range wholes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := yellow
			switch {
			case name == "CMYK JPEG":
				shows(t, avatarOf(t, raw), 48, 32) // what ink looks like depends on its profile
				return
			case strings.Contains(name, "alpha"), name == "animated WebP":
				last = white // that quarter is transparent
			}
			shows(t, avatarOf(t, raw), 48, 32, red, green, blue, last)
		})
	}
}

func TestWhatIsTransparentIsWhite(t *testing.T) {
	t.Parallel()
	half := quarters(40, 40, red, clear0, color.RGBA{110, 15, 15, 127}, blue)
	shows(t, avatarOf(t, asPNG(t, half)), 40, 40, red, white, color.RGBA{238, 143, 143, 255}, blue)
	shows(t, avatarOf(t, asGIF(t, paletted(quarters(40, 40, red, clear0, blue, yellow)))), 40, 40, red, white, blue, yellow)
	// And the same after reduction: the hidden colour of transparent pixels must not show.
	hidden := image.NewNRGBA(image.Rect(0, 0, 3000, 30))
	for i := 0; i < len(hidden.Pix); i += 4 {
		hidden.Pix[i] = 0xff
	}
	shows(t, avatarOf(t, asPNG(t, hidden)), 256, 3, white, white, white, white)
}

func TestAFrameOfAnAnimationLiesInItsPlace(t *testing.T) {
	t.Parallel()
	// A frame in the bottom right quarter of a picture of 48 × 32, twice.
	frame := image.NewPaletted(image.Rect(24, 16, 48, 32), color.Palette{red})
	raw := asGIF(t, frame, uniform(48, 32))
	binary.LittleEndian.PutUint16(raw[6:], 48)
	binary.LittleEndian.PutUint16(raw[8:], 32)
	shows(t, avatarOf(t, raw), 48, 32, white, white, white, red)

	webp := stored(t, "animated.webp")
	frameAt := bytes.Index(webp, []byte("ANMF")) + 8
	canvas := bytes.Index(webp, []byte("VP8X")) + 8
	putUint24(webp[canvas+4:], 96-1)
	putUint24(webp[canvas+7:], 64-1)
	putUint24(webp[frameAt:], 48/2)
	putUint24(webp[frameAt+3:], 32/2)
	shows(t, avatarOf(t, webp), 96, 64, white, white, white)
}

func TestAPictureIsFittedAndNeverEnlarged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ width, height, fittedWidth, fittedHeight int }{
		{1, 1, 1, 1}, {2, 200, 2, 200}, {256, 256, 256, 256}, {257, 256, 256, 255},
		{300, 300, 256, 256}, {1023, 511, 256, 128}, {1024, 512, 256, 128}, {640, 1280, 128, 256},
		{1600, 1200, 256, 192}, {20000, 1, 256, 1}, {1, 20000, 1, 256}, {20000, 30, 256, 1},
	} {
		t.Run(fmt.Sprintf("%dx%d", c.width, c.height), func(t *testing.T) {
			t.Parallel()
			shows(t, avatarOf(t, asPNG(t, uniform(c.width, c.height))), c.fittedWidth, c.fittedHeight, red)
		})
	}
	shows(t, avatarOf(t, asJPEG(t, quarters(1500, 900, red, green, blue, yellow))), 256, 154, red, green, blue, yellow)
}

func TestAPictureIsTurnedUpright(t *testing.T) {
	t.Parallel()
	// What is seen of the stored quarters red, green, blue, yellow (EXIF 2.32, 4.6.4.A).
	for turned, want := range map[orientation][]color.RGBA{
		1: {red, green, blue, yellow},
		2: {green, red, yellow, blue},
		3: {yellow, blue, green, red},
		4: {blue, yellow, red, green},
		5: {red, blue, green, yellow},
		6: {blue, red, yellow, green},
		7: {yellow, green, blue, red},
		8: {green, yellow, red, blue},
	} {
		t.Run(fmt.Sprint(turned), func(t *testing.T) {
			t.Parallel()
			width, height := 48, 32
			if turned >= 5 {
				width, height = height, width
			}
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				block := exif(order, turned, "")
				prefixed := append([]byte(exifPrefix), block...)
				shows(t, avatarOf(t, inserted(asJPEG(t, sample()), 2, segment(markerAPP1, prefixed)...)), width, height, want...)
				shows(t, avatarOf(t, inserted(asPNG(t, sample()), 33, chunk("eXIf", block)...)), width, height, want...)
				webp := stored(t, "turned.webp")
				at := bytes.Index(webp, []byte("EXIF"))
				shows(t, avatarOf(t, webpWith(webp[:at], "EXIF", block)), width, height, want...)
				shows(t, avatarOf(t, webpWith(webp[:at], "EXIF", prefixed)), width, height, want...)
			}
		})
	}
	shows(t, avatarOf(t, stored(t, "turned.webp")), 32, 48, blue, red, yellow, green)
}

const canary = "CANARY-51.5007N-0.1246W"

// hidden are pictures with something else in them: where people are, what
// software they have, and files of other kinds.
func hidden(t testing.TB) map[string][]byte {
	text := []byte(canary)
	block := exif(binary.BigEndian, upright, canary)
	plainJPEG, plainPNG, plainGIF := asJPEG(t, sample()), asPNG(t, sample()), asGIF(t, paletted(sample()))
	gifComment := append([]byte{0x21, 0xfe, byte(len(text))}, append(text, 0)...)
	afterTable := gifBody(plainGIF)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	member, err := z.Create("evil.jar")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := member.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	script := []byte("*/=1;alert('" + canary + "')//")
	gifScript := append([]byte{0x21, 0xfe, byte(len(script))}, append(script, 0)...)
	page := []byte("<html><script>alert('" + canary + "')</script>")
	return map[string][]byte{
		"JPEG with EXIF":      inserted(plainJPEG, 2, segment(markerAPP1, append([]byte(exifPrefix), block...))...),
		"JPEG with a profile": inserted(plainJPEG, 2, segment(0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"), text...))...),
		"JPEG with XMP":       inserted(plainJPEG, 2, segment(markerAPP1, append([]byte("http://ns.adobe.com/xap/1.0/\x00"), text...))...),
		"JPEG with a comment": inserted(plainJPEG, 2, segment(0xfe, text)...),
		"JPEG and a tail":     append(slices.Clone(plainJPEG), text...),
		"JPEG and zip":        append(slices.Clone(plainJPEG), archive.Bytes()...),
		"PNG with a text":     inserted(plainPNG, 33, chunk("tEXt", append([]byte("Comment\x00"), text...))...),
		"PNG with EXIF":       inserted(plainPNG, 33, chunk("eXIf", block)...),
		"PNG and a tail":      append(slices.Clone(plainPNG), text...),
		"PNG and html":        append(inserted(plainPNG, 33, chunk("tEXt", page)...), page...),
		"GIF with a comment":  inserted(plainGIF, afterTable, gifComment...),
		"GIF and a tail":      append(slices.Clone(plainGIF), text...),
		"GIF and JavaScript":  append(inserted(plainGIF, afterTable, gifScript...), script...),
		"WebP with EXIF":      webpWith(stored(t, "turned.webp"), "XMP ", text),
		"WebP with unknown":   webpWith(stored(t, "lossy.webp"), "CANA", text),
		"WebP and a tail":     append(stored(t, "lossy.webp"), text...),
	}
}

func TestNothingButPixelsIsKept(t *testing.T) {
	t.Parallel()
	for name, raw := range hidden(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := avatarOf(t, raw).JPEG
			for _, part := range []string{canary, "alert", "<html", "PK\x03\x04", "Exif", "ICC_PROFILE", "JFIF", "evil"} {
				if bytes.Contains(out, []byte(part)) {
					t.Errorf("%q is still there", part)
				}
			}
			if _, err := zip.NewReader(bytes.NewReader(out), int64(len(out))); err == nil {
				t.Error("it is still an archive")
			}
			// Tables, one frame, one scan, and nothing after the end.
			rest := out[2:]
			for {
				marker, after, ok := nextMarker(rest)
				if !ok {
					t.Fatal("it has no end")
				}
				if marker == markerEOI {
					if len(after) > 0 {
						t.Errorf("%d bytes follow its end", len(after))
					}
					break
				}
				if !slices.Contains([]byte{0xdb, 0xc0, 0xc4, markerSOS}, marker) {
					t.Errorf("it has a segment 0x%02x", marker)
				}
				rest = after[binary.BigEndian.Uint16(after):]
			}
		})
	}
}

func TestWhatIsNoPictureIsRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"nothing":     nil,
		"text":        []byte("just some text"),
		"html":        []byte("<!doctype html><script>alert(1)</script>"),
		"SVG":         []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
		"PDF":         []byte("%PDF-1.7\n"),
		"BMP":         append([]byte("BM"), make([]byte, 100)...),
		"TIFF":        append([]byte("II*\x00"), make([]byte, 100)...),
		"zip":         append([]byte("PK\x03\x04"), make([]byte, 100)...),
		"zeros":       make([]byte, 1000),
		"JPEG's head": []byte("\xff\xd8\xff"),
		"PNG's head":  []byte("\x89PNG\r\n\x1a\n"),
		"GIF's head":  []byte("GIF89a"),
		"WebP's head": []byte("RIFF\x04\x00\x00\x00WEBP"),
		"WAV":         append([]byte("RIFF\x24\x00\x00\x00WAVEfmt "), make([]byte, 24)...),
		"empty JPEG":  []byte("\xff\xd8\xff\xd9"),
		"empty GIF":   []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00\x3b"),
		"empty PNG":   pngOf(t, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, raw, ErrNotAPicture)
		})
	}
}

func TestATruncatedPictureIsRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range wholes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for length := range raw {
				refused(t, raw[:length], ErrNotAPicture)
			}
		})
	}
	for name, raw := range map[string][]byte{"JPEG": asJPEG(t, sample()), "progressive JPEG": stored(t, "progressive.jpg")} {
		// With an end put to what was cut: it would decode in part.
		scan := bytes.LastIndex(raw, []byte{0xff, markerSOS})
		for length := scan + 14; length < len(raw)-4; length++ {
			if raw[length-1] == 0xff {
				continue
			}
			if _, err := New(Config{}).Avatar(t.Context(), append(slices.Clone(raw[:length]), 0xff, markerEOI)); !errors.Is(err, ErrNotAPicture) {
				t.Errorf("%s: cut at %d of %d and ended: %v", name, length, len(raw), err)
			}
		}
	}
}

func TestADamagedPictureIsRefused(t *testing.T) {
	t.Parallel()
	png := asPNG(t, sample())
	png[len(png)/2] ^= 0x10
	refused(t, png, ErrNotAPicture)
	// Two headers that differ: the one that was checked and the one that is decoded.
	webp := stored(t, "lossy-alpha.webp")
	putUint24(webp[bytes.Index(webp, []byte("VP8X"))+8+4:], 7)
	refused(t, webp, ErrNotAPicture)
	// Something between its blocks that is none.
	odd := asGIF(t, paletted(sample()))
	refused(t, inserted(odd, len(odd)-1, 0), ErrNotAPicture)
	// A frame beyond the picture.
	gif := asGIF(t, paletted(sample()))
	binary.LittleEndian.PutUint16(gif[6:], 10)
	refused(t, gif, ErrNotAPicture)
}

// allocated is how many bytes a call allocates in all. Its tests run alone.
func allocated(call func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // less than 2^63
}

func TestGiantsAreRefusedByTheirHeaders(t *testing.T) {
	huge := asJPEG(t, sample())
	frame := bytes.Index(huge, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(huge[frame+5:], 60000)
	binary.BigEndian.PutUint16(huge[frame+7:], 60000)
	gif := asGIF(t, paletted(sample()))
	binary.LittleEndian.PutUint16(gif[6:], 65535)
	binary.LittleEndian.PutUint16(gif[8:], 65535)
	lossless := stored(t, "lossless.webp")
	binary.LittleEndian.PutUint32(lossless[bytes.Index(lossless, []byte("VP8L"))+9:], 0x3fff|0x3fff<<14)
	lossy := stored(t, "lossy.webp")
	binary.LittleEndian.PutUint32(lossy[bytes.Index(lossy, []byte("VP8 "))+14:], 0x3fff|0x3fff<<16)
	animated := stored(t, "animated.webp")
	putUint24(animated[bytes.Index(animated, []byte("VP8X"))+12:], 1<<24-1)
	for name, raw := range map[string][]byte{
		"PNG of 60000 × 60000":      pngOf(t, 60000, 60000, 10),
		"PNG of 2^31-1 × 2^31-1":    pngOf(t, 1<<31-1, 1<<31-1, 10),
		"one pixel row too long":    pngOf(t, 20001, 1, 20002),
		"one pixel column too long": pngOf(t, 1, 20001, 40002),
		"a row of pixels too many":  pngOf(t, 5000, 5001, 10),
		"JPEG":                      huge,
		"GIF":                       gif,
		"lossless WebP":             lossless,
		"lossy WebP":                lossy,
		"animated WebP":             animated,
		"a byte too many":           append(asJPEG(t, sample()), make([]byte, maxBytes)...),
	} {
		t.Run(name, func(t *testing.T) {
			if took := allocated(func() { refused(t, raw, ErrTooLarge) }); took > 1<<20 {
				t.Errorf("refusing it took %d bytes", took)
			}
		})
	}
}

func TestDecodingAllocatesNoMoreThanPlanned(t *testing.T) {
	giant := asGIF(t, uniform(1500, 1500))
	frames := (maxBytes - len(giant)) / (len(giant) - 1 - gifBody(giant))
	for name, raw := range map[string][]byte{
		"deflate bomb within the limit": pngOf(t, 2000, 2000, 2000*2001),
		"one row":                       pngOf(t, 20000, 1, 20001),
		"progressive JPEG":              stored(t, "progressive.jpg"),
		"JPEG":                          asJPEG(t, image.NewGray(image.Rect(0, 0, 2000, 1500))),
		"JPEG in colour":                asJPEG(t, image.NewYCbCr(image.Rect(0, 0, 1200, 1600), image.YCbCrSubsampleRatio420)),
		"lossless WebP":                 stored(t, "lossless.webp"),
		"lossy WebP":                    stored(t, "lossy-alpha.webp"),
		"GIF of giant frames":           animated(giant, frames),
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := inspect(raw)
			if err != nil {
				t.Fatal(err)
			}
			if took := allocated(func() { avatarOf(t, raw) }); took > plan.memory {
				t.Errorf("it took %d bytes, planned were %d", took, plan.memory)
			}
		})
	}
}

func TestAnAnimationCostsAsMuchAsItsFirstFrame(t *testing.T) {
	still := asGIF(t, uniform(100, 100))
	animation := animated(still, 10_000)
	one, all := allocated(func() { avatarOf(t, still) }), allocated(func() { avatarOf(t, animation) })
	if all > one+1<<20 {
		t.Errorf("ten thousand frames took %d bytes, one took %d", all, one)
	}
}

func TestBombsInsideAreRefused(t *testing.T) {
	// 20 MB of pixels for a picture of 100.
	bomb := pngOf(t, 10, 10, 20_000_000)
	if took := allocated(func() { refused(t, bomb, ErrNotAPicture) }); took > 1<<20 {
		t.Errorf("the deflate bomb took %d bytes", took)
	}
	// A scan that touches every block in some fifty bytes, again and again.
	raw := stored(t, "progressive.jpg")
	last := bytes.LastIndex(raw, []byte{0xff, markerSOS})
	scans := slices.Repeat(raw[last:len(raw)-2], maxScans)
	refused(t, inserted(raw, len(raw)-2, scans...), ErrNotAPicture)
}
