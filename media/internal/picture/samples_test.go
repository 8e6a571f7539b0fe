package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The picture of most tests: four quarters, 48 × 32. The files of testdata show
// the same; those that the standard library cannot write were made with sharp.
var (
	red    = color.RGBA{220, 30, 30, 255}
	green  = color.RGBA{30, 200, 30, 255}
	blue   = color.RGBA{30, 30, 220, 255}
	yellow = color.RGBA{220, 220, 30, 255}
	white  = color.RGBA{255, 255, 255, 255}
	clear0 = color.RGBA{}
)

func quarters(width, height int, topLeft, topRight, bottomLeft, bottomRight color.RGBA) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			switch {
			case y < height/2 && x < width/2:
				m.SetRGBA(x, y, topLeft)
			case y < height/2:
				m.SetRGBA(x, y, topRight)
			case x < width/2:
				m.SetRGBA(x, y, bottomLeft)
			default:
				m.SetRGBA(x, y, bottomRight)
			}
		}
	}
	return m
}

func sample() *image.RGBA { return quarters(48, 32, red, green, blue, yellow) }

func asJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asGIF(t testing.TB, frames ...*image.Paletted) []byte {
	t.Helper()
	var out bytes.Buffer
	all := &gif.GIF{Image: frames, Delay: make([]int, len(frames))}
	if err := gif.EncodeAll(&out, all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func paletted(m image.Image) *image.Paletted {
	p := image.NewPaletted(m.Bounds(), color.Palette{red, green, blue, yellow, clear0})
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			p.Set(x, y, m.At(x, y))
		}
	}
	return p
}

// uniform is a picture of one colour that takes a byte a pixel.
func uniform(width, height int) *image.Paletted {
	return image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{red, blue})
}

func stored(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wholes is one whole picture of each kind.
func wholes(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"JPEG":                asJPEG(t, sample()),
		"progressive JPEG":    stored(t, "progressive.jpg"),
		"CMYK JPEG":           stored(t, "cmyk.jpg"),
		"PNG":                 asPNG(t, sample()),
		"palette PNG":         asPNG(t, paletted(sample())),
		"GIF":                 asGIF(t, paletted(sample())),
		"animated GIF":        asGIF(t, paletted(sample()), uniform(48, 32)),
		"lossy WebP":          stored(t, "lossy.webp"),
		"lossless WebP":       stored(t, "lossless.webp"),
		"lossy alpha WebP":    stored(t, "lossy-alpha.webp"),
		"lossless alpha WebP": stored(t, "lossless-alpha.webp"),
		"animated WebP":       stored(t, "animated.webp"),
	}
}

// inserted puts a part into a file.
func inserted(file []byte, at int, part ...byte) []byte {
	return slices.Insert(slices.Clone(file), at, part...)
}

// segment is a segment of a JPEG.
func segment(marker byte, data []byte) []byte {
	head := []byte{0xff, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}
	return append(head, data...)
}

// chunk is a chunk of a PNG.
func chunk(kind string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(out, kind...)
	out = append(out, data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// pngOf is a PNG of 8-bit grey whose header says one size and whose pixel data
// is another's.
func pngOf(t testing.TB, width, height uint32, pixels int) []byte {
	t.Helper()
	header := binary.BigEndian.AppendUint32(nil, width)
	header = binary.BigEndian.AppendUint32(header, height)
	header = append(header, 8, 0, 0, 0, 0)
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(make([]byte, pixels)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := []byte("\x89PNG\r\n\x1a\n")
	out = append(out, chunk("IHDR", header)...)
	out = append(out, chunk("IDAT", packed.Bytes())...)
	return append(out, chunk("IEND", nil)...)
}

// webpWith adds a chunk to a WebP file.
func webpWith(file []byte, kind string, data []byte) []byte {
	out := appendChunk(slices.Clone(file), kind, data)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

// exif is an EXIF block that holds an orientation and a text.
func exif(order binary.AppendByteOrder, turned orientation, text string) []byte {
	out := []byte("II*\x00")
	if order.String() == "BigEndian" {
		out = []byte("MM\x00*")
	}
	out = order.AppendUint32(out, 8)
	out = order.AppendUint16(out, 2)
	// ImageDescription, then Orientation.
	out = order.AppendUint16(out, 0x010e)
	out = order.AppendUint16(out, 2)
	out = order.AppendUint32(out, uint32(len(text)))
	out = order.AppendUint32(out, 8+2+2*12+4)
	out = order.AppendUint16(out, tagOrientation)
	out = order.AppendUint16(out, typeShort)
	out = order.AppendUint32(out, 1)
	out = order.AppendUint16(out, uint16(turned))
	out = append(out, 0, 0)
	out = order.AppendUint32(out, 0)
	return append(out, text...)
}

// gifBody is where a GIF's blocks begin.
func gifBody(file []byte) int {
	if file[10]&gifTable == 0 {
		return 13
	}
	return 13 + 3<<(1+file[10]&gifTableSize)
}

// animated repeats the frame of a GIF.
func animated(still []byte, frames int) []byte {
	end := len(still) - 1
	return slices.Concat(still[:end], slices.Repeat(still[gifBody(still):end], frames-1), []byte{gifTrailer})
}
