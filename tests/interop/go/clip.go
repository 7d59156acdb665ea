package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Clip is an encoded video whose first frame is its only key frame.
type Clip struct {
	FourCC string // VP80, AV01
	FPS    int
	Frames [][]byte
}

const ivfFileHeader, ivfFrameHeader = 32, 12

// MakeClip encodes a moving test pattern with ffmpeg: codec VP8 or AV1, 640x360.
func MakeClip(codec string, fps, kbps, seconds int) (*Clip, error) {
	dir, err := os.MkdirTemp("", "clip")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "clip.ivf")
	rate := fmt.Sprintf("%dk", kbps)
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=%d,noise=alls=12:allf=t", fps),
		"-t", fmt.Sprint(seconds), "-pix_fmt", "yuv420p", "-g", "99999", "-b:v", rate}
	if codec == "AV1" {
		args = append(args, "-c:v", "libsvtav1", "-preset", "12")
	} else {
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-keyint_min", "99999",
			"-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-lag-in-frames", "0", "-auto-alt-ref", "0")
	}
	if out, err := exec.Command("ffmpeg", append(args, file)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return readIVF(raw, fps)
}

func readIVF(raw []byte, fps int) (*Clip, error) {
	if len(raw) < ivfFileHeader || string(raw[:4]) != "DKIF" {
		return nil, errors.New("no IVF file")
	}
	c := &Clip{FourCC: string(raw[8:12]), FPS: fps}
	for raw = raw[ivfFileHeader:]; len(raw) >= ivfFrameHeader; {
		n := int(binary.LittleEndian.Uint32(raw))
		raw = raw[ivfFrameHeader:]
		if n > len(raw) {
			return nil, errors.New("cut IVF file")
		}
		c.Frames = append(c.Frames, raw[:n])
		raw = raw[n:]
	}
	return c, nil
}

// Frame is one received frame.
type Frame struct {
	Bytes []byte
	RTP   uint32
	At    time.Time
	Key   bool
}

// DecodeErrors writes frames as IVF and says what ffmpeg complains of when it decodes them, and how many came out.
func DecodeErrors(fourCC string, frames []Frame) (complaints string, n int, err error) {
	f, err := os.CreateTemp("", "received*.ivf")
	if err != nil {
		return "", 0, err
	}
	defer os.Remove(f.Name())
	h := make([]byte, ivfFileHeader)
	copy(h, "DKIF")
	binary.LittleEndian.PutUint16(h[6:], ivfFileHeader)
	copy(h[8:], fourCC)
	binary.LittleEndian.PutUint16(h[12:], 640)
	binary.LittleEndian.PutUint16(h[14:], 360)
	binary.LittleEndian.PutUint32(h[16:], 90000)
	binary.LittleEndian.PutUint32(h[20:], 1)
	binary.LittleEndian.PutUint32(h[24:], uint32(len(frames)))
	for i, frame := range frames {
		at := make([]byte, ivfFrameHeader)
		binary.LittleEndian.PutUint32(at, uint32(len(frame.Bytes)))
		binary.LittleEndian.PutUint64(at[4:], uint64(i))
		h = append(append(h, at...), frame.Bytes...)
	}
	if _, err = f.Write(h); err == nil {
		err = f.Close()
	}
	if err != nil {
		return "", 0, err
	}
	var stderr strings.Builder
	cmd := exec.Command("ffmpeg", "-v", "error", "-i", f.Name(), "-fps_mode", "passthrough", "-f", "framecrc", "-")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for _, line := range strings.Split(string(out), "\n") {
		if line != "" && line[0] != '#' {
			n++
		}
	}
	return stderr.String(), n, err
}
