// The chosen microphone, or a test tone for machines without one, with a level for the meters.
const TONE = 'tone';
const NOTES = 12; // a phrase
const NOTE_S = 0.25;
const PENTATONIC = [0, 2, 4, 7, 9]; // semitones

export class Microphone {
	constructor() {
		this.stream = null;
		this.audio = null;
		this.analyser = null;
		this.deviceId = '';
	}

	get track() {
		return this.stream?.getAudioTracks()[0] ?? null;
	}

	// Opens a device by id ('' the default, 'tone' the test tone); throws Trouble when it cannot.
	async open(deviceId = '') {
		const captured = deviceId === TONE ? null : await capture(deviceId);
		this.close();
		this.stream = captured ?? this.tone();
		this.deviceId = deviceId;
		this.context();
		this.analyser = new AnalyserNode(this.audio, { fftSize: 1024 });
		this.source = this.audio.createMediaStreamSource(this.stream);
		this.source.connect(this.analyser);
	}

	context() {
		this.audio ??= new AudioContext();
		this.audio.resume().catch(() => {});
		return this.audio;
	}

	// Short notes in phrases with pauses, as people talk, so that voice activity has something to find. Each tab has a
	// pitch of its own.
	tone() {
		const audio = this.context();
		const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
		const gain = new GainNode(audio, { gain: 0 });
		const oscillator = new OscillatorNode(audio, { frequency: 0 });
		oscillator.connect(gain).connect(out);
		oscillator.start();
		const root = 220 * 2 ** Math.random();
		const phrase = () => {
			for (let note = 0; note < NOTES; note++) {
				const at = audio.currentTime + note * NOTE_S;
				const pitch = PENTATONIC[Math.floor(Math.random() * PENTATONIC.length)];
				oscillator.frequency.setValueAtTime(root * 2 ** (pitch / 12), at);
				gain.gain.setTargetAtTime(0.3, at, 0.01);
				gain.gain.setTargetAtTime(0, at + NOTE_S * 0.55, 0.015);
			}
			this.next = setTimeout(phrase, (NOTES * NOTE_S + 2.5 + 2 * Math.random()) * 1000);
		};
		phrase();
		return out.stream;
	}

	// 0..1, for a meter.
	level() {
		if (!this.analyser) return 0;
		const samples = new Float32Array(this.analyser.fftSize);
		this.analyser.getFloatTimeDomainData(samples);
		const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
		return Math.min(1, rms * 5);
	}

	close() {
		clearTimeout(this.next);
		this.source?.disconnect();
		for (const track of this.stream?.getTracks() ?? []) track.stop();
		this.stream = null;
	}

	// [{id, name}] to choose from.
	static async list() {
		const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
		const inputs = devices.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId !== 'default');
		const named = inputs.map(({ deviceId, label }, i) => ({ id: deviceId, name: label || `Microphone ${i + 1}` }));
		return [{ id: '', name: 'Default microphone' }, ...named.filter(({ id }) => id), { id: TONE, name: 'Test tone' }];
	}
}

async function capture(deviceId) {
	if (!navigator.mediaDevices?.getUserMedia) {
		throw new Trouble(
			'This address may not use a microphone',
			'Browsers give microphones only to secure pages. Open this page as http://127.0.0.1 or http://localhost.'
		);
	}
	try {
		const audio = deviceId ? { deviceId: { exact: deviceId } } : true;
		return await navigator.mediaDevices.getUserMedia({ audio });
	} catch (error) {
		throw explain(error);
	}
}

// What went wrong, and what to do about it.
export class Trouble extends Error {
	constructor(title, advice) {
		super(title);
		this.advice = advice;
	}
}

function explain(error) {
	switch (error.name) {
		case 'NotAllowedError':
			return new Trouble(
				'The browser does not let this page use the microphone',
				'Click the icon left of the address, allow the microphone, and try again. Or choose “Test tone”.'
			);
		case 'NotFoundError':
		case 'OverconstrainedError':
			return new Trouble('No such microphone', 'Plug one in, choose another, or choose “Test tone” to go on without.');
		case 'NotReadableError':
			return new Trouble('The microphone is busy', 'Another program holds it. Close that program, or choose another microphone.');
		default:
			return new Trouble('The microphone cannot be opened', `${error.message}. Choose another, or “Test tone”.`);
	}
}
