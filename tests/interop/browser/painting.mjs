// Moving pictures that tell who painted them: a corner in the person's colour, the rest in motion, so that an encoder
// has something to spend its bits on.
const CORNER = 0.25; // of width and height
const COLOURS = 12;

const numberOf = (id) => Number(id.match(/\d+$/)?.[0] ?? 0);

// Hue in degrees.
export const colourOf = (id) => (numberOf(id) % COLOURS) * (360 / COLOURS);

// The canvas is painted until its track ends.
export function paintedStream(id, width, height, fps = 20) {
	const canvas = document.createElement('canvas');
	[canvas.width, canvas.height] = [width, height];
	const paint = canvas.getContext('2d', { alpha: false });
	const stream = canvas.captureStream(fps);
	const [track] = stream.getVideoTracks();
	let tick = 0;
	const timer = setInterval(() => {
		if (track.readyState === 'ended') return clearInterval(timer);
		draw(paint, width, height, tick++, colourOf(id));
	}, 1000 / fps);
	draw(paint, width, height, 0, colourOf(id));
	return stream;
}

function draw(paint, width, height, tick, hue) {
	const size = height / 12;
	for (let row = 0; row < 12; row++) {
		for (let column = 0; column * size < width; column++) {
			if ((row * 7 + column * 13 + tick) % 5 !== 0) continue;
			paint.fillStyle = `hsl(0 0% ${(row * 37 + column * 61 + tick * 17) % 100}%)`;
			paint.fillRect(column * size, row * size, size, size);
		}
	}
	paint.fillStyle = `hsl(${hue} 90% 50%)`;
	paint.fillRect(0, 0, width * CORNER, height * CORNER);
}

// Hue in the corner of what an element shows now; null while it shows nothing or grey.
export function colourAt(video) {
	if (!video.videoWidth) return null;
	const canvas = document.createElement('canvas');
	[canvas.width, canvas.height] = [16, 16];
	const paint = canvas.getContext('2d', { willReadFrequently: true });
	paint.drawImage(video, 0, 0, 16, 16);
	const [red, green, blue] = paint.getImageData(1, 1, 1, 1).data;
	const most = Math.max(red, green, blue);
	const range = most - Math.min(red, green, blue);
	if (range < 40) return null;
	let sector = (red - green) / range + 4;
	if (most === red) sector = ((green - blue) / range + 6) % 6;
	else if (most === green) sector = (blue - red) / range + 2;
	return Math.round(60 * sector);
}
