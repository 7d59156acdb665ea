// What can be shown: the screen, a camera, or a test picture for machines without either (`?picture=test`).
import { Trouble } from './microphone.mjs';

const isTest = new URLSearchParams(location.search).get('picture') === 'test';
const TEST_FPS = 20;

// null when somebody thought better of it
export async function openScreen(name) {
	if (isTest || !navigator.mediaDevices?.getDisplayMedia) return testPicture(`${name}’s screen`, 1280, 720, 'detail');
	try {
		const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
		stream.getVideoTracks()[0].contentHint = 'detail';
		return stream;
	} catch (error) {
		if (error.name === 'NotAllowedError') return null;
		throw new Trouble('The screen could not be captured', `${error.message}. Add ?picture=test to the address to share a test picture.`);
	}
}

export async function openCamera(name) {
	if (isTest) return testPicture(name, 640, 360, 'motion');
	try {
		return await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360, frameRate: 30 } });
	} catch (error) {
		if (error.name === 'NotAllowedError') return null;
		throw new Trouble('The camera could not be opened', `${error.message}. Add ?picture=test to the address to show a test picture.`);
	}
}

// Slow waves behind a name and a clock: sharp edges to judge a screen by, motion to judge a camera by.
function testPicture(title, width, height, hint) {
	const canvas = document.createElement('canvas');
	[canvas.width, canvas.height] = [width, height];
	const paint = canvas.getContext('2d', { alpha: false });
	const stream = canvas.captureStream(TEST_FPS);
	const [track] = stream.getVideoTracks();
	track.contentHint = hint;
	const hue = 150 + 90 * Math.random();
	const timer = setInterval(() => {
		if (track.readyState === 'ended') return clearInterval(timer);
		draw(paint, width, height, title, hue, performance.now() / 1000);
	}, 1000 / TEST_FPS);
	draw(paint, width, height, title, hue, 0);
	return stream;
}

function draw(paint, width, height, title, hue, seconds) {
	paint.fillStyle = `hsl(${hue} 45% 14%)`;
	paint.fillRect(0, 0, width, height);
	for (let wave = 0; wave < 5; wave++) {
		paint.beginPath();
		paint.moveTo(0, height);
		for (let x = 0; x <= width; x += width / 64) {
			const swing = Math.sin(x / (width / 7) + seconds * (0.5 + wave / 5) + wave * 1.7);
			paint.lineTo(x, height * (0.45 + wave * 0.11 + 0.06 * swing));
		}
		paint.lineTo(width, height);
		paint.fillStyle = `hsl(${hue + wave * 9} 50% ${20 + wave * 6}%)`;
		paint.fill();
	}
	paint.fillStyle = '#fff';
	paint.textAlign = 'center';
	paint.font = `650 ${height / 9}px system-ui, sans-serif`;
	paint.fillText(title, width / 2, height * 0.24);
	paint.font = `500 ${height / 16}px ui-monospace, monospace`;
	paint.fillText(`${new Date().toTimeString().slice(0, 8)}.${Math.floor((seconds % 1) * 10)}`, width / 2, height * 0.36);
}
